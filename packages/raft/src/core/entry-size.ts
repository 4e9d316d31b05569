import type { Entry } from './message.js';

/**
 * Bytes that an entry counts for wherever a limit is in bytes: what it takes as protobuf, which is what etcd counts,
 * so that limits cut at the same entries. Any format is within a few bytes of it.
 */
export function entrySize(entry: Entry): number {
  const length = entry.data.length;
  return 4 + varintSize(entry.term) + varintSize(entry.index) + (length > 0 ? 1 + varintSize(length) + length : 0);
}

export function entriesSize(entries: readonly Entry[]): number {
  let size = 0;
  for (let i = 0; i < entries.length; i++) size += entrySize(entries[i]!);
  return size;
}

/** Bytes of the data alone: a leader's empty entry weighs nothing, and so is never refused. */
export function payloadSize(entries: readonly Entry[]): number {
  let size = 0;
  for (let i = 0; i < entries.length; i++) size += entries[i]!.data.length;
  return size;
}

/** How many of `entries` from `start` to `end` fit into `maxBytes`; at least one, so that a large entry travels. */
export function countWithin(entries: readonly Entry[], start: number, end: number, maxBytes: number): number {
  if (maxBytes === Number.POSITIVE_INFINITY || end <= start) return end - start;
  let size = entrySize(entries[start]!);
  let at = start + 1;
  while (at < end) {
    size += entrySize(entries[at]!);
    if (size > maxBytes) break;
    at++;
  }
  return at - start;
}

function varintSize(value: number): number {
  let size = 1;
  while (value >= 0x80) {
    value /= 0x80;
    size++;
  }
  return size;
}
