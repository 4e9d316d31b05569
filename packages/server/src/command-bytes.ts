import type { Command, EntryWrite } from '@dcache/protocol';

/** Rough bytes of a command, for cutting batches and bounding queues; the codec's own overhead is not worth exactness. */
export function commandBytes(command: Command): number {
  if ('value' in command) return command.value.length + command.key.length + 32;
  if ('sets' in command) return entriesBytes(command.sets);
  if ('entries' in command) return entriesBytes(command.entries);
  if ('keys' in command) return command.keys.reduce((sum, key) => sum + key.length + 4, 32);
  return 'key' in command ? command.key.length + 32 : 32;
}

function entriesBytes(entries: readonly EntryWrite[]): number {
  return entries.reduce((sum, entry) => sum + entry.key.length + entry.value.length + 32, 32);
}

/** The same commands in order, in runs of at most `maxBytes`; a larger command is a run of its own. */
export function* cutBatches<Item extends { readonly command: Command }>(
  items: readonly Item[],
  maxBytes: number,
): Generator<readonly Item[]> {
  let start = 0;
  let bytes = 0;
  for (let i = 0; i < items.length; i++) {
    const size = commandBytes(items[i]!.command);
    if (i > start && bytes + size > maxBytes) {
      yield items.slice(start, i);
      start = i;
      bytes = 0;
    }
    bytes += size;
  }
  if (start < items.length) yield start === 0 ? items : items.slice(start);
}
