import type { DcacheError, ErrorCode } from '@dcache/protocol';
import { SlowLog } from './slow-log.js';

/** Upper bounds of the buckets, in seconds: a local read takes 20 µs, a durable write milliseconds, a wait seconds. */
export const requestBoundsSeconds: readonly number[] = [
  0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];

/** How long the requests of one protocol and verb took. Counting allocates nothing. */
export class RequestSeries {
  readonly protocol: string;
  readonly verb: string;
  /** One for each bound, and one more for what was slower; not cumulative. */
  readonly counts: Float64Array = new Float64Array(requestBoundsSeconds.length + 1);
  count: number = 0;
  sumSeconds: number = 0;

  constructor(protocol: string, verb: string) {
    this.protocol = protocol;
    this.verb = verb;
  }

  observe(seconds: number): void {
    this.count++;
    this.sumSeconds += seconds;
    let i = 0;
    while (i < requestBoundsSeconds.length && seconds > requestBoundsSeconds[i]!) i++;
    this.counts[i]!++;
  }
}

/**
 * What the clients' requests do to this node: durations by protocol and verb, errors by code, hits and misses. Kept in
 * plain numbers, because a request must not pay for a metric that is looked at every few seconds; `metrics.ts` turns
 * them into text.
 */
export class RequestMetrics {
  readonly slow: SlowLog;
  readonly #series: RequestSeries[] = [];
  readonly #errors = new Map<string, number>();
  hits: number = 0;
  misses: number = 0;

  constructor(slow: SlowLog) {
    this.slow = slow;
  }

  get series(): readonly RequestSeries[] {
    return this.#series;
  }

  /** Errors by protocol and code since the start. */
  *errors(): Iterable<{ readonly protocol: string; readonly code: string; readonly count: number }> {
    for (const [name, count] of this.#errors) {
      const [protocol, code] = name.split(' ') as [string, string];
      yield { protocol, code, count };
    }
  }

  /** Where the requests of a protocol and verb are counted; asked for once, when a protocol's server is made. */
  of(protocol: string, verb: string): RequestSeries {
    let series = this.#series.find((one) => one.protocol === protocol && one.verb === verb);
    if (!series) {
      series = new RequestSeries(protocol, verb);
      this.#series.push(series);
    }
    return series;
  }

  /** A request that began at `startMs` of `performance.now()` has its answer. `key` and `id` are for the slow log. */
  done(series: RequestSeries, startMs: number, key?: Uint8Array, error?: DcacheError): void {
    const ms = performance.now() - startMs;
    series.observe(ms / 1_000);
    if (error) this.failed(series.protocol, error.code);
    if (ms >= this.slow.floorMs) this.slow.note(series, ms, key, error?.code);
  }

  /** Codes are a fixed set, so this stays small. */
  failed(protocol: string, code: ErrorCode): void {
    const name = `${protocol} ${code}`;
    this.#errors.set(name, (this.#errors.get(name) ?? 0) + 1);
  }

  observeRead(isHit: boolean): void {
    if (isHit) this.hits++;
    else this.misses++;
  }
}
