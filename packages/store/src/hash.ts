/** A 32-bit hash of `length` bytes from `at`, as an unsigned number. */
export type KeyHash = (bytes: Uint8Array, at: number, length: number) => number;

/**
 * HalfSipHash-1-3 with a 64-bit key made of `seed`: a keyed hash, so that who does not know the seed cannot choose keys
 * that collide. (Aumasson, Bernstein: SipHash, INDOCRYPT 2012; HalfSipHash is its 32-bit form by Aumasson. One round a
 * word and three at the end, as hash tables use SipHash-1-3.)
 */
export function seededHash(seed: number): KeyHash {
  const key0 = scramble(seed >>> 0);
  const key1 = scramble(Math.floor(seed / 2 ** 32) ^ 0x5bd1e995);
  return (bytes, at, length) => {
    let v0 = key0;
    let v1 = key1;
    let v2 = 0x6c796765 ^ key0;
    let v3 = 0x74656462 ^ key1;
    const end = at + length;
    const tail = end - (length & 3);
    let word = 0;
    for (; at <= tail; at += 4) {
      if (at < tail) {
        word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
      } else {
        word = length << 24;
        for (let i = at; i < end; i++) word |= bytes[i]! << ((i - at) << 3);
      }
      v3 ^= word;
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
      v0 ^= word;
    }
    v2 ^= 0xff;
    for (let round = 0; round < 3; round++) {
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
    }
    return (v1 ^ v3) >>> 0;
  };
}

/** A permutation of the 32-bit numbers in which each input bit moves each output bit (the finalizer of MurmurHash3). */
export function scramble(value: number): number {
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return value ^ (value >>> 16);
}
