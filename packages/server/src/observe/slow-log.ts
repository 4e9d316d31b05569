import type { Clock, Logger } from '@dcache/base';

/** One slow request. */
export interface SlowRequest {
  readonly protocol: string;
  readonly verb: string;
  /** The key's first 64 bytes as text, with what cannot be printed escaped. */
  readonly key: string;
  readonly ms: number;
  /** When it ended, in milliseconds since 1970. */
  readonly atMs: number;
  /** The error's code, where it failed. */
  readonly error: string | undefined;
}

/** How many of the slowest are remembered, and for how long. */
const places = 20;
const rememberedMs = 10 * 60_000;
/** Lines about slow requests that one second may write; the rest are counted and told with the next line. */
const linesPerSecond = 10;

/**
 * Requests that took long: a line in the log for those above the threshold (`--slow-request`), at most ten a second, and
 * the slowest of the last ten minutes for the page. A fast request costs one comparison with `floorMs`.
 */
export class SlowLog {
  /** Requests below this need not be told. */
  floorMs = 0;
  readonly #thresholdMs: number;
  readonly #clock: Clock;
  readonly #logger: Logger;
  /** Slowest first. Invariant: at most `places`. */
  #slowest: SlowRequest[] = [];
  #second = -1;
  #lines = 0;
  #unsaid = 0;

  /** `thresholdMs` 0 writes no lines. */
  constructor(thresholdMs: number, clock: Clock, logger: Logger) {
    this.#thresholdMs = thresholdMs;
    this.#clock = clock;
    this.#logger = logger;
  }

  note(
    request: { readonly protocol: string; readonly verb: string },
    ms: number,
    key: Uint8Array | undefined,
    error?: string,
  ): void {
    const { protocol, verb } = request;
    const slow = { protocol, verb, key: printableKey(key), ms, atMs: this.#clock.wallMs(), error };
    if (this.#thresholdMs > 0 && ms >= this.#thresholdMs) this.#say(slow);
    this.#remember(slow);
  }

  /** The slowest of the last ten minutes, slowest first. */
  slowest(): readonly SlowRequest[] {
    this.#forget();
    return this.#slowest;
  }

  #remember(slow: SlowRequest): void {
    if (this.#slowest.length >= places) this.#forget();
    if (this.#slowest.length >= places && slow.ms <= this.#slowest.at(-1)!.ms) return;
    const at = this.#slowest.findIndex((other) => other.ms < slow.ms);
    this.#slowest.splice(at === -1 ? this.#slowest.length : at, 0, slow);
    this.#slowest.length = Math.min(this.#slowest.length, places);
    this.#setFloor();
  }

  #forget(): void {
    const fromMs = this.#clock.wallMs() - rememberedMs;
    this.#slowest = this.#slowest.filter(({ atMs }) => atMs >= fromMs);
    this.#setFloor();
  }

  #setFloor(): void {
    const least = this.#slowest.length < places ? 0 : this.#slowest.at(-1)!.ms;
    this.floorMs = this.#thresholdMs > 0 ? Math.min(least, this.#thresholdMs) : least;
  }

  #say(slow: SlowRequest): void {
    const second = Math.floor(this.#clock.monotonicMs() / 1_000);
    if (second !== this.#second) {
      this.#second = second;
      this.#lines = 0;
    }
    if (this.#lines++ >= linesPerSecond) {
      this.#unsaid++;
      return;
    }
    const { atMs: _, error, ...fields } = slow;
    this.#logger.warn(
      {
        ...fields,
        ms: Math.round(slow.ms * 10) / 10,
        ...(error === undefined ? {} : { error }),
        ...(this.#unsaid > 0 ? { unsaid: this.#unsaid } : {}),
      },
      'a slow request',
    );
    this.#unsaid = 0;
  }
}

const maxShownBytes = 64;

/** Safe in a log line and on a page, whatever bytes a client sent. */
export function printableKey(key: Uint8Array | undefined): string {
  if (!key) return '';
  const text = Buffer.from(key.buffer, key.byteOffset, Math.min(key.length, maxShownBytes)).toString('utf8');
  const escaped = text.replace(/[\p{C}\ufffd]/gu, (char) => `\\u{${char.codePointAt(0)!.toString(16)}}`);
  return key.length > maxShownBytes ? `${escaped}…` : escaped;
}
