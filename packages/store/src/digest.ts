import { scramble } from './hash.js';

/**
 * A 64-bit fingerprint of a set of terms that is kept while terms come and go: the sum of their hashes, in two
 * independent halves modulo 2^32. The order of the operations that made the set leaves no trace. It tells two
 * honest replicas apart with certainty enough (2^-64); it is no defence against somebody who constructs a collision,
 * and it uses no seed, because replicas must agree.
 *
 * Use: one of the methods that make a term, then `add` or `subtract`.
 */
export class Digest {
  #a = 0;
  #b = 0;
  #termA = 0;
  #termB = 0;

  /** Makes the term of numbers; each is taken as an integer below 2^53. */
  ofNumbers(first: number, second: number, third: number): this {
    this.#termA = 0x2545f491;
    this.#termB = 0x6c078965;
    this.#mix(first);
    this.#mix(second);
    this.#mix(third);
    return this;
  }

  /** Makes the term of `length` bytes from `at` and two numbers. About 5 bytes a nanosecond. */
  ofBytes(view: DataView, at: number, length: number, first: number, second: number): this {
    let a = length;
    let b = 0x1b873593;
    const end = at + length;
    // Each half takes every other word; a step is a permutation of the half for a given word and the reverse, so two
    // inputs that differ in one word never meet again in that half.
    for (const pairs = end - 7; at < pairs; at += 8) {
      a = Math.imul(a ^ view.getInt32(at, true), 0x9e3779b1);
      a = (a << 13) | (a >>> 19);
      b = Math.imul(b ^ view.getInt32(at + 4, true), 0x85ebca6b);
      b = (b << 15) | (b >>> 17);
    }
    for (; at < end; at++) {
      a = Math.imul(a ^ view.getUint8(at), 0x9e3779b1);
      a = (a << 13) | (a >>> 19);
    }
    this.#termA = a;
    this.#termB = b;
    this.#mix(first);
    this.#mix(second);
    return this;
  }

  /** The halves of the term last made, unsigned. */
  get term(): readonly [number, number] {
    return [this.#termA >>> 0, this.#termB >>> 0];
  }

  /** Counts the term last made in. */
  add(): void {
    this.#a = (this.#a + this.#termA) | 0;
    this.#b = (this.#b + this.#termB) | 0;
  }

  /** Takes the term last made out. */
  subtract(): void {
    this.#a = (this.#a - this.#termA) | 0;
    this.#b = (this.#b - this.#termB) | 0;
  }

  /** Sixteen hexadecimal digits. */
  toString(): string {
    return hex(this.#a) + hex(this.#b);
  }

  #mix(value: number): void {
    const low = value | 0;
    const high = (value / 0x1_0000_0000) | 0;
    const a = this.#termA;
    this.#termA = scramble((a ^ low) + Math.imul(high ^ this.#termB, 0x9e3779b1));
    this.#termB = scramble((this.#termB ^ Math.imul(low, 0xcc9e2d51)) + Math.imul(high ^ a, 0x27d4eb2f));
  }
}

function hex(value: number): string {
  return (value >>> 0).toString(16).padStart(8, '0');
}
