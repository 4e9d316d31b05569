import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import type { ReadLevel } from '@dcache/protocol';
import type { Client } from './client.js';
import { ClientError } from './errors.js';

export interface BenchOptions {
  readonly durationMs: number;
  /** Operations under way at once. */
  readonly clients: number;
  readonly keys: number;
  readonly valueBytes: number;
  readonly readPercent: number;
  readonly level: ReadLevel | undefined;
  /** Ends it before its time, with what was measured until then. */
  readonly signal?: AbortSignal | undefined;
}

/** Latencies are microseconds from the call to its answer. */
interface BenchFigures {
  readonly operations: number;
  readonly operationsPerSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly maxUs: number;
}

export interface BenchResult {
  readonly seconds: number;
  readonly reads: BenchFigures;
  readonly writes: BenchFigures;
  /** Reads that found no value. */
  readonly misses: number;
  /** How many operations failed, by error code. */
  readonly errors: Readonly<Record<string, number>>;
  /** How many keys it left behind at most. */
  readonly keys: number;
  /** How long they live, from their last write on. */
  readonly ttlMs: number;
}

/**
 * A closed loop: as many workers as `clients` each wait for an answer before they ask again. Every key is written once
 * before the clock starts. The keys end by themselves: `ttlMs` after their last write.
 */
export async function bench(
  client: Client,
  options: BenchOptions,
  onProgress: (share: number, text: string) => void,
): Promise<BenchResult> {
  const { durationMs, clients, keys, readPercent, level, signal } = options;
  const value = new Uint8Array(options.valueBytes).fill(0x78);
  // Long enough for all of them to be there at once, also where it takes its time to write them.
  const ttlMs = durationMs + 600_000 * Math.ceil(keys / 1_000_000);
  const set = (key: number) => client.set(`dcache-bench-${key}`, value, { ttlMs, signal });
  let filled = 0;
  await together(clients, async () => {
    while (filled < keys && !signal?.aborted) {
      const key = filled++;
      await set(key).catch((error) => {
        if (!signal?.aborted) throw error;
      });
      onProgress(filled / keys, `wrote ${filled} of ${keys} keys`);
    }
  });
  const reads = createHistogram();
  const writes = createHistogram();
  const errors: Record<string, number> = {};
  let misses = 0;
  const startMs = performance.now();
  const endMs = startMs + durationMs;
  await together(clients, async () => {
    for (;;) {
      const nowMs = performance.now();
      if (nowMs >= endMs || signal?.aborted) return;
      onProgress((nowMs - startMs) / durationMs, `${reads.count + writes.count} operations`);
      const key = Math.floor(Math.random() * keys);
      const isRead = Math.random() * 100 < readPercent;
      try {
        if (!isRead) await set(key);
        else if ((await client.get(`dcache-bench-${key}`, { level, signal })) === undefined) misses++;
        record(isRead ? reads : writes, performance.now() - nowMs);
      } catch (error) {
        if (!(error instanceof ClientError)) throw error;
        if (signal?.aborted) return;
        errors[error.code] = (errors[error.code] ?? 0) + 1;
      }
    }
  });
  const seconds = (performance.now() - startMs) / 1_000;
  return { seconds, reads: figures(reads, seconds), writes: figures(writes, seconds), misses, errors, keys, ttlMs };
}

/** Lines for people. */
export function formatBench(result: BenchResult): string[] {
  const row = (name: string, one: BenchFigures): string =>
    [
      name.padEnd(7),
      String(Math.round(one.operationsPerSecond)).padStart(10),
      ...[one.p50Us, one.p99Us, one.maxUs].map((us) => (us / 1_000).toFixed(2).padStart(9)),
    ].join(' ');
  const lines = [
    `${''.padEnd(7)} ${'ops/s'.padStart(10)} ${'p50 ms'.padStart(9)} ${'p99 ms'.padStart(9)} ${'max ms'.padStart(9)}`,
  ];
  if (result.reads.operations + result.writes.operations === 0) lines.push('nothing was measured');
  if (result.reads.operations > 0) lines.push(row('reads', result.reads));
  if (result.writes.operations > 0) lines.push(row('writes', result.writes));
  if (result.misses > 0) lines.push(`${result.misses} reads found no value: the cache evicts`);
  for (const [code, times] of Object.entries(result.errors)) lines.push(`${times} operations failed: ${code}`);
  lines.push(
    `its keys, dcache-bench-0 to dcache-bench-${result.keys - 1}, end by themselves within ${Math.ceil(result.ttlMs / 60_000)} minutes`,
  );
  return lines;
}

function figures(histogram: RecordableHistogram, seconds: number): BenchFigures {
  const isEmpty = histogram.count === 0;
  return {
    operations: histogram.count,
    operationsPerSecond: histogram.count / seconds,
    p50Us: isEmpty ? 0 : histogram.percentile(50),
    p99Us: isEmpty ? 0 : histogram.percentile(99),
    maxUs: isEmpty ? 0 : histogram.max,
  };
}

function record(histogram: RecordableHistogram, ms: number): void {
  histogram.record(Math.max(1, Math.round(ms * 1_000)));
}

async function together(count: number, run: () => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: count }, run));
}
