/** How often the line is drawn, in milliseconds. */
const drawMs = 100;

/** One line of progress on a terminal; nothing where the output is none. */
export class Progress {
  readonly #output: Pick<NodeJS.WriteStream, 'isTTY' | 'write'>;
  #drawnMs = Number.NEGATIVE_INFINITY;
  #isShown = false;

  constructor(output: Pick<NodeJS.WriteStream, 'isTTY' | 'write'>) {
    this.#output = output;
  }

  /** `share` is what is done, from 0 to 1. */
  show(text: string, share?: number): void {
    if (!this.#output.isTTY || performance.now() - this.#drawnMs < drawMs) return;
    this.#drawnMs = performance.now();
    this.#isShown = true;
    const percent = share === undefined ? '' : ` (${Math.min(100, Math.floor(share * 100))} %)`;
    this.#output.write(`\r\x1b[K${text}${percent}`);
  }

  /** Takes the line away. */
  clear(): void {
    if (this.#isShown) this.#output.write('\r\x1b[K');
    this.#isShown = false;
  }
}
