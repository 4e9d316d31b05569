import type { Clock } from '@dcache/base';
import { RaftError } from './errors.js';

/** The promise that leadership is handed to another; one at a time. (Thesis §3.10) */
export class Handover {
  readonly #clock: Clock;
  #waiting: { readonly resolve: () => void; readonly reject: (error: RaftError) => void } | undefined;
  #deadlineMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get isUnderWay(): boolean {
    return this.#waiting !== undefined;
  }

  /** Resolves at `succeed`; rejects with `busy` when that does not come in time. */
  begin(timeoutMs: number): Promise<void> {
    this.#deadlineMs = this.#clock.monotonicMs() + timeoutMs;
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  /** This node leads no more. */
  succeed(): void {
    this.#waiting?.resolve();
    this.#waiting = undefined;
  }

  fail(error: RaftError): void {
    this.#waiting?.reject(error);
    this.#waiting = undefined;
  }

  tick(): void {
    if (this.#waiting !== undefined && this.#clock.monotonicMs() >= this.#deadlineMs)
      this.fail(new RaftError('busy', 'leadership was not taken over in time'));
  }
}
