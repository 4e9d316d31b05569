const slabBytes = 32_768;

/** Payloads from this size on are not copied but go out as they are. */
const largeBytes = 8_192;

/** Bytes to be sent, gathered into as few pieces as possible. What was taken is never written again. */
export class Output {
  #slab = new Uint8Array(slabBytes);
  #start = 0;
  #at = 0;
  #parts: Uint8Array[] = [];

  get isEmpty(): boolean {
    return this.#at === this.#start && this.#parts.length === 0;
  }

  /** A frame's nine bytes (RFC 9113 §4.1). */
  frame(length: number, type: number, flags: number, stream: number): void {
    this.#reserve(9);
    const slab = this.#slab;
    const at = this.#at;
    slab[at] = length >>> 16;
    slab[at + 1] = length >>> 8;
    slab[at + 2] = length;
    slab[at + 3] = type;
    slab[at + 4] = flags;
    slab[at + 5] = stream >>> 24;
    slab[at + 6] = stream >>> 16;
    slab[at + 7] = stream >>> 8;
    slab[at + 8] = stream;
    this.#at = at + 9;
  }

  u16(value: number): void {
    this.#reserve(2);
    this.#slab[this.#at++] = value >>> 8;
    this.#slab[this.#at++] = value;
  }

  u32(value: number): void {
    this.#reserve(4);
    this.#slab[this.#at++] = value >>> 24;
    this.#slab[this.#at++] = value >>> 16;
    this.#slab[this.#at++] = value >>> 8;
    this.#slab[this.#at++] = value;
  }

  /** Few bytes; copied. */
  small(bytes: ArrayLike<number>): void {
    this.#reserve(bytes.length);
    const slab = this.#slab;
    let at = this.#at;
    for (let i = 0; i < bytes.length; i++) slab[at++] = bytes[i]!;
    this.#at = at;
  }

  /** Many bytes may be kept instead of copied: they must not change any more. */
  bytes(bytes: Uint8Array): void {
    if (bytes.length >= largeBytes) {
      this.#cut();
      this.#parts.push(bytes);
      return;
    }
    this.#reserve(bytes.length);
    this.#slab.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  /** All that was written since the last time, in order. */
  take(): readonly Uint8Array[] {
    this.#cut();
    const parts = this.#parts;
    this.#parts = [];
    return parts;
  }

  #reserve(length: number): void {
    if (this.#at + length <= this.#slab.length) return;
    this.#cut();
    this.#slab = new Uint8Array(Math.max(slabBytes, length));
    this.#start = 0;
    this.#at = 0;
  }

  #cut(): void {
    if (this.#at > this.#start) this.#parts.push(this.#slab.subarray(this.#start, this.#at));
    this.#start = this.#at;
  }
}
