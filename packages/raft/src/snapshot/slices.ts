import type { Clock } from '@dcache/base';

/** The longest that a consumer is kept busy before the event loop gets its turn, in milliseconds. */
const sliceMs = 2;
/** What is handed over at a time: small, so that the time is looked at often. */
const sliceBytes = 16 * 1024;

/**
 * The same bytes in small parts, with a turn of the event loop after each slice of time. Pieces of a snapshot that arrive
 * together would otherwise be taken in one after the other without a turn between them, because what was waited for in
 * between is there already: with a state machine that takes in 50 MB a second, for tens of milliseconds.
 */
export async function* inSlices(
  chunks: AsyncIterable<Uint8Array>,
  clock: Clock,
  defer: (run: () => void) => void,
): AsyncGenerator<Uint8Array> {
  const turn = (): Promise<void> => new Promise(defer);
  await turn();
  let endMs = clock.monotonicMs() + sliceMs;
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length; at += sliceBytes) {
      if (clock.monotonicMs() >= endMs) {
        await turn();
        endMs = clock.monotonicMs() + sliceMs;
      }
      yield chunk.subarray(at, at + sliceBytes);
    }
  }
}
