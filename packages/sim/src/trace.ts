/** Everything that happens in a run, line by line: always as a digest, and as text where somebody wants to read it. */
export class TraceLog {
  readonly #lines: string[] | undefined;
  readonly #maxLines: number;
  #first = 0xdeadbeef;
  #second = 0x41c6ce57;
  #count = 0;

  /** Keeps the last `maxLines` lines, or none. */
  constructor(maxLines = 0) {
    this.#maxLines = maxLines;
    this.#lines = maxLines > 0 ? [] : undefined;
  }

  /** Lines so far, kept or not. */
  get count(): number {
    return this.#count;
  }

  add(atMs: number, text: string): void {
    this.#count++;
    this.#mix(Math.round(atMs * 1000));
    for (let i = 0; i < text.length; i++) this.#mix(text.charCodeAt(i));
    if (this.#lines === undefined) return;
    this.#lines.push(`${atMs.toFixed(3).padStart(12)} ${text}`);
    // Cut in large steps: a shift a line would copy the array each time.
    if (this.#lines.length >= 2 * this.#maxLines) this.#lines.splice(0, this.#maxLines);
  }

  /** 16 hexadecimal digits; two runs that differ anywhere have different ones, but for chance. */
  digest(): string {
    return [this.#first, this.#second].map((half) => (half >>> 0).toString(16).padStart(8, '0')).join('');
  }

  lines(): readonly string[] {
    return this.#lines?.slice(-this.#maxLines) ?? [];
  }

  /** Two multiplicative hashes with different odd factors, as in FNV. */
  #mix(value: number): void {
    this.#first = Math.imul(this.#first ^ value, 0x9e3779b1);
    this.#second = Math.imul((this.#second ^ value) + (this.#first >>> 15), 0x5f356495);
  }
}
