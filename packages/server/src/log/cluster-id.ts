import { randomBytes, randomInt } from 'node:crypto';

/** A new cluster's id: 64 random bits in hexadecimal. */
export function newClusterId(): string {
  return randomBytes(8).toString('hex');
}

/** A new node's Raft id: a random integer from 1 to 2^52-1, never used before by chance alone. */
export function newRaftId(): number {
  return randomInt(0, 2 ** 26) * 2 ** 26 + randomInt(1, 2 ** 26);
}
