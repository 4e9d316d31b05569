import type { Clock } from '@dcache/base';
import { CacheError } from '../errors.js';

/**
 * One fill and all who wait for it. A caller that aborts or times out is detached; when the last one goes the fill is
 * aborted. A background refresh keeps it alive without anybody waiting.
 */
export class Flight<V> {
  readonly #controller = new AbortController();
  readonly #clock: Clock;
  #waiting = 0;
  readonly isBackground: boolean;
  result!: Promise<V | undefined>;
  isSettled = false;

  constructor(clock: Clock, isBackground: boolean) {
    this.#clock = clock;
    this.isBackground = isBackground;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Starts the fill. */
  run(fill: () => Promise<V | undefined>): void {
    this.result = fill().finally(() => {
      this.isSettled = true;
    });
    // Whoever waits gets the error; that nobody does is not another one.
    this.result.catch(() => {});
  }

  abort(reason: Error): void {
    this.#controller.abort(reason);
  }

  /** The result for one caller, by its own limits. */
  join(key: string, hardTimeoutMs: number, signal: AbortSignal | undefined): Promise<V | undefined> {
    if (hardTimeoutMs === Number.POSITIVE_INFINITY && signal === undefined) {
      this.#waiting++;
      return this.result;
    }
    this.#waiting++;
    return new Promise<V | undefined>((resolve, reject) => {
      let cancel = (): void => {};
      const done = (): void => {
        cancel();
        signal?.removeEventListener('abort', onAbort);
      };
      const leave = (reason: Error): void => {
        done();
        reject(reason);
        this.#leave(reason);
      };
      const onAbort = (): void => leave(signal!.reason as Error);
      this.result.then(
        (value) => {
          done();
          resolve(value);
        },
        (error: Error) => {
          done();
          reject(error);
        },
      );
      if (signal?.aborted === true) return onAbort();
      signal?.addEventListener('abort', onAbort, { once: true });
      if (hardTimeoutMs !== Number.POSITIVE_INFINITY)
        cancel = this.#clock.after(hardTimeoutMs, () =>
          leave(new CacheError('fill-timeout', `the filler of '${key}' did not settle within ${hardTimeoutMs} ms`)),
        );
    });
  }

  #leave(reason: Error): void {
    this.#waiting--;
    if (this.#waiting === 0 && !this.isBackground && !this.isSettled) this.abort(reason);
  }
}
