import type { Logger } from '@dcache/base';
import type { DcacheError, ErrorCode } from '@dcache/protocol';
import { printableKey, type SlowLog } from './slow-log.js';
import type { TraceHeaders, Tracing } from './tracing.js';

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

/** What is known of a request beside its time. */
export interface RequestDetails {
  readonly id?: number | undefined;
  readonly key?: Uint8Array | undefined;
  readonly error?: DcacheError | undefined;
  /** Its headers or metadata, for the client's trace. */
  readonly headers?: TraceHeaders | undefined;
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
  readonly #tracing: Tracing | undefined;
  /** Set where each request has its line. */
  readonly #debug: Logger | undefined;
  #lastId = 0;
  hits: number = 0;
  misses: number = 0;

  /** `debug` is a logger that writes debug lines; left out, no request gets an id. */
  constructor(slow: SlowLog, parts: { readonly tracing?: Tracing; readonly debug?: Logger | undefined } = {}) {
    this.slow = slow;
    this.#tracing = parts.tracing;
    this.#debug = parts.debug;
  }

  /** The number of the next request in the debug log; undefined where there is none. */
  nextId(): number | undefined {
    return this.#debug && ++this.#lastId;
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

  /** A request that began at `startMs` of `performance.now()` has its answer. The rest is for who looks closer. */
  done(series: RequestSeries, startMs: number, about: RequestDetails = {}): void {
    const ms = performance.now() - startMs;
    const { error } = about;
    series.observe(ms / 1_000);
    if (error) this.failed(series.protocol, error.code);
    if (ms >= this.slow.floorMs) this.slow.note(series, ms, about.key, error?.code);
    if (this.#debug) this.#tell(this.#debug, series, ms, about);
    if (this.#tracing?.isOn) {
      const endMs = Date.now();
      const { protocol, verb } = series;
      this.#tracing.tell({
        protocol,
        verb,
        startMs: endMs - ms,
        endMs,
        error: error?.code,
        headers: about.headers ?? {},
      });
    }
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

  #tell(debug: Logger, { protocol, verb }: RequestSeries, ms: number, { id, key, error }: RequestDetails): void {
    const fields = { request: id, protocol, verb, key: printableKey(key), ms: Math.round(ms * 1_000) / 1_000 };
    debug.debug(error ? { ...fields, error: error.code } : fields, 'request');
  }
}
