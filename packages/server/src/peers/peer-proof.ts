import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { concatBytes, utf8 } from '@dcache/base';

/** Bytes of a nonce. */
const nonceBytes = 16;

/** The keys that peers prove to know: the first to prove with, any to be proved by. */
export type PeerKeys = readonly Uint8Array[];

/** The two directions have words of their own, so that neither's proof passes for the other's. */
type Direction = 'answer' | 'dial';
const words: Readonly<Record<Direction, Uint8Array>> = {
  answer: utf8('dcache peer answer 1'),
  dial: utf8('dcache peer dial 1'),
};

export function newNonce(): Uint8Array {
  return randomBytes(nonceBytes);
}

/** HMAC-SHA256 under the first key, of the direction, both nonces and what was said: fresh for each connection. */
export function prove(
  keys: PeerKeys,
  direction: Direction,
  dialNonce: Uint8Array,
  answerNonce: Uint8Array,
  said: Uint8Array,
): Uint8Array {
  return mac(keys[0]!, direction, dialNonce, answerNonce, said);
}

/** Whether `proof` was made with any of the keys: while keys are rotated, two are in use. */
export function isProof(
  proof: Uint8Array,
  keys: PeerKeys,
  direction: Direction,
  dialNonce: Uint8Array,
  answerNonce: Uint8Array,
  said: Uint8Array,
): boolean {
  let isKnown = false;
  for (const key of keys) {
    const expected = mac(key, direction, dialNonce, answerNonce, said);
    if (proof.length === expected.length && timingSafeEqual(proof, expected)) isKnown = true;
  }
  return isKnown;
}

function mac(
  key: Uint8Array,
  direction: Direction,
  dialNonce: Uint8Array,
  answerNonce: Uint8Array,
  said: Uint8Array,
): Buffer {
  return createHmac('sha256', key)
    .update(concatBytes([words[direction], dialNonce, answerNonce, said]))
    .digest();
}
