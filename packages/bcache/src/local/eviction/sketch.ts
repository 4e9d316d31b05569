/**
 * How often a key was seen lately, about: a count-min sketch of 4-bit counters, four to a key, all halved when as many
 * keys were counted as ten times the capacity. Cost: 16 counters (8 bytes) an entry.
 *
 * (Einziger, Friedman, Manes: TinyLFU, ACM ToS 2017, §3)
 */
export class FrequencySketch {
  /** Eight counters to a word; a key's four are in one block of four words, so in one line of the processor's cache. */
  readonly #table: Int32Array;
  readonly #blockMask: number;
  readonly #sampleSize: number;
  #additions = 0;

  constructor(capacity: number) {
    const blocks = 2 ** Math.max(3, Math.ceil(Math.log2(Math.max(1, capacity) / 2)));
    this.#table = new Int32Array(blocks * 4);
    this.#blockMask = blocks - 1;
    this.#sampleSize = 10 * Math.max(capacity, 16);
  }

  /** 0 to 15. */
  frequency(hash: number): number {
    const block = (hash & this.#blockMask) * 4;
    let least = 15;
    for (let i = 0; i < 4; i++) {
      const count = (this.#table[block + i]! >>> shiftOf(hash, i)) & 15;
      if (count < least) least = count;
    }
    return least;
  }

  increment(hash: number): void {
    const block = (hash & this.#blockMask) * 4;
    let isCounted = false;
    for (let i = 0; i < 4; i++) {
      const shift = shiftOf(hash, i);
      if (((this.#table[block + i]! >>> shift) & 15) < 15) {
        this.#table[block + i]! += 1 << shift;
        isCounted = true;
      }
    }
    if (isCounted && ++this.#additions >= this.#sampleSize) this.#halve();
  }

  #halve(): void {
    for (let i = 0; i < this.#table.length; i++) this.#table[i] = (this.#table[i]! >>> 1) & 0x77777777;
    this.#additions >>>= 1;
  }
}

/** Which of a word's eight counters is the key's: three bits of the hash that the block does not use up. */
function shiftOf(hash: number, word: number): number {
  return ((Math.imul(hash, 0x9e3779b1) >>> (20 - word * 3)) & 7) * 4;
}
