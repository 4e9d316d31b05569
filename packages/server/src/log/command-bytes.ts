import { type Command, CommandType, type EntryWrite } from '@dcache/protocol';

/** Rough bytes of a command, for cutting batches and bounding queues; the codec's own overhead is not worth exactness. */
export function commandBytes(command: Command): number {
  switch (command.type) {
    case CommandType.set:
      return command.value.length + command.key.length + 32;
    case CommandType.delete:
      return command.key.length + 32;
    case CommandType.setMany:
      return entriesBytes(command.sets);
    case CommandType.load:
      return entriesBytes(command.entries);
    case CommandType.touch:
      return command.keys.reduce((sum, key) => sum + key.length + 4, 32);
    default:
      return 32;
  }
}

function entriesBytes(entries: readonly EntryWrite[]): number {
  return entries.reduce((sum, entry) => sum + entry.key.length + entry.value.length + 32, 32);
}

/** The same items in order, in runs of at most `maxBytes` together; a larger one is a run of its own. */
export function cutBatches<Item extends { readonly bytes: number }>(
  items: readonly Item[],
  maxBytes: number,
): readonly (readonly Item[])[] {
  const batches: (readonly Item[])[] = [];
  let start = 0;
  let bytes = 0;
  for (let i = 0; i < items.length; i++) {
    const size = items[i]!.bytes;
    if (i > start && bytes + size > maxBytes) {
      batches.push(items.slice(start, i));
      start = i;
      bytes = 0;
    }
    bytes += size;
  }
  if (start < items.length) batches.push(start === 0 ? items : items.slice(start));
  return batches;
}

/** What the items weigh together. */
export function totalBytes(items: readonly { readonly bytes: number }[]): number {
  let sum = 0;
  for (const { bytes } of items) sum += bytes;
  return sum;
}
