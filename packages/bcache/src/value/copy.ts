import type { Stored, ValueCodec } from '../local/entry.js';
import { decodeValue } from './decode.js';
import { encodeValue } from './encode.js';

/**
 * Who shares an object with whom.
 *
 * - `freeze`: the cache holds a copy of its own, frozen; every `get` gives that one. Plain objects and arrays cost nothing
 *   to read; what cannot be frozen (Map, Set, Date, bytes) makes a `get` copy the value.
 * - `clone`: every `get` gives a fresh copy.
 * - `none`: the very object that was set. Who changes it changes the cache, on this node alone.
 */
export type CopyMode = 'none' | 'freeze' | 'clone';
export const copyModes: readonly CopyMode[] = ['none', 'freeze', 'clone'];

export interface Copier extends ValueCodec {
  /** What is held for a value that was just encoded to `bytes`. */
  store(value: unknown, bytes: Uint8Array): Stored;
}

export function createCopier(mode: CopyMode): Copier {
  const decode = (bytes: Uint8Array): Stored => {
    const { value, hasMutable } = decodeValue(bytes, mode === 'freeze');
    return { value, cloneOnGet: mode === 'clone' ? isObject(value) : mode === 'freeze' && hasMutable };
  };
  return {
    encode: encodeValue,
    decode,
    store: (value, bytes) => (mode === 'none' || !isObject(value) ? { value, cloneOnGet: false } : decode(bytes)),
    clone: (value) => decodeValue(encodeValue(value), mode === 'freeze').value,
  };
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}
