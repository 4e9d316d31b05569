import type { Random } from '@dcache/base';
import type { Store } from '../store.js';
import type { Model } from './model.js';

/** One call on a store; keys and values are named by numbers, so that a failing case prints short. */
export type Operation =
  | { readonly op: 'set'; readonly key: number; readonly bytes: number; readonly ttlMs: number; readonly flags: number }
  | { readonly op: 'delete' | 'touch' | 'read'; readonly key: number }
  | { readonly op: 'advance'; readonly byMs: number; readonly budget: number }
  | { readonly op: 'limit'; readonly maxBytes: number; readonly budget: number }
  | { readonly op: 'clear' };

/** The bytes of a key; the numbers below 16 are keys that code trips over. */
export function keyOf(number: number): Uint8Array {
  const odd = ['', '__proto__', 'constructor', '\0', '\0\0', 'ä\u{1f600}', 'a', 'ab', 'abc', 'toString'];
  if (number < odd.length) return new TextEncoder().encode(odd[number]);
  if (number < 14) return new Uint8Array(number - 9).fill(0xff);
  if (number < 16) return new Uint8Array(200 * (number - 13)).fill(number);
  return new TextEncoder().encode(`key:${number}`);
}

/** `bytes` bytes that depend on the write. */
export function valueFor(revision: number, bytes: number): Uint8Array {
  const value = new Uint8Array(bytes);
  for (let i = 0; i < bytes; i++) value[i] = revision * 31 + i * 7;
  return value;
}

/** What applying gave, as text, to compare. */
export function applyToStore(store: Store, operation: Operation, revision: number): string {
  const key = 'key' in operation ? keyOf(operation.key) : new Uint8Array();
  switch (operation.op) {
    case 'set': {
      const { ttlMs, flags } = operation;
      const expiresAtMs = ttlMs === 0 ? 0 : Math.max(0, store.nowMs + ttlMs);
      return store.set(key, valueFor(revision, operation.bytes), { revision, expiresAtMs, flags });
    }
    case 'delete':
      return String(store.delete(key));
    case 'touch':
      return String(store.touch(key));
    case 'read': {
      const entry = store.get(key);
      if (entry === undefined) return 'none';
      const { value, revision: of, expiresAtMs, flags } = entry;
      return `${Buffer.from(value).toString('base64')} ${of} ${expiresAtMs} ${flags}`;
    }
    case 'advance':
      return String(store.advance(store.nowMs + operation.byMs, operation.budget));
    case 'limit':
      return String(store.setMaxBytes(operation.maxBytes, operation.budget));
    case 'clear':
      return String(store.clear());
  }
}

/** The same on the model. */
export function applyToModel(model: Model, operation: Operation, revision: number): string {
  const key = 'key' in operation ? Buffer.from(keyOf(operation.key)).toString('latin1') : '';
  switch (operation.op) {
    case 'set': {
      const { ttlMs, flags } = operation;
      const expiresAtMs = ttlMs === 0 ? 0 : Math.max(0, model.nowMs + ttlMs);
      return model.set(key, valueFor(revision, operation.bytes), { revision, expiresAtMs, flags });
    }
    case 'delete':
      return String(model.delete(key));
    case 'touch':
      return String(model.touch(key));
    case 'read': {
      const entry = model.get(key);
      if (entry === undefined) return 'none';
      const { value, revision: of, expiresAtMs, flags } = entry;
      return `${Buffer.from(value).toString('base64')} ${of} ${expiresAtMs} ${flags}`;
    }
    case 'advance':
      return String(model.advance(model.nowMs + operation.byMs, operation.budget));
    case 'limit':
      return String(model.setMaxBytes(operation.maxBytes, operation.budget));
    case 'clear':
      return String(model.clear());
  }
}

/** A random operation of a usual mix over `keys` keys: half writes, with some large values and some expiries. */
export function randomOperation(random: Random, keys: number, maxBytes: number): Operation {
  const key = Math.floor(random.next() ** 2 * keys);
  const kind = random.below(1000);
  if (kind < 550) {
    const size = random.below(100);
    const bytes = size < 70 ? random.below(60) : size < 95 ? random.below(600) : random.below(3000);
    const ttlMs = random.below(3) === 0 ? random.below(200) - 5 : 0;
    return { op: 'set', key, bytes, ttlMs, flags: random.below(4) === 0 ? random.below(2 ** 32) : 0 };
  }
  if (kind < 650) return { op: 'delete', key };
  if (kind < 800) return { op: 'touch', key };
  if (kind < 920) return { op: 'read', key };
  if (kind < 990) return { op: 'advance', byMs: random.below(30), budget: random.below(5) };
  if (kind < 999) {
    const budget = random.below(2) === 0 ? Number.POSITIVE_INFINITY : random.below(20);
    return { op: 'limit', maxBytes: Math.floor(maxBytes * (0.3 + random.next())), budget };
  }
  return { op: 'clear' };
}
