/** Where a core draws its randomness, so that a seed replays a run. */
export interface Random {
  /** A number from 0 up to, but not including, 1. */
  next(): number;
  /** An integer from 0 up to, but not including, `bound`; `bound` is from 1 to 2^53. */
  below(bound: number): number;
}

/**
 * A generator that gives the same numbers for the same seed on every machine: the 32-bit counter-based SplitMix
 * (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014). Not for secrets.
 */
export class SeededRandom implements Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  next(): number {
    return (this.#u32() * 0x20_0000 + (this.#u32() >>> 11)) / 0x20_0000_0000_0000;
  }

  below(bound: number): number {
    return Math.floor(this.next() * bound);
  }

  #u32(): number {
    this.#state = (this.#state + 0x9e3779b9) | 0;
    let mixed = this.#state ^ (this.#state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  }
}

/** The process's own generator, for drivers. Not for secrets. */
export const systemRandom: Random = {
  next: () => Math.random(),
  below: (bound) => Math.floor(Math.random() * bound),
};
