import type { Clock } from '@dcache/base';
import type { Scheduler } from '../scheduler.js';

/** What waits for a process that stands still; a real one's sockets and timers are bounded too. */
const maxBacklog = 20_000;

/**
 * One simulated operating-system process: an event loop with clocks of its own. It can stand still, as under SIGSTOP or
 * in a virtual machine that is not scheduled: its clocks go on, and what came meanwhile happens when it wakes. Once it
 * has ended, nothing that it began happens any more.
 */
export class VirtualProcess {
  readonly #scheduler: Scheduler;
  #rate: number;
  /** What its monotonic clock showed when the rate was set last, and when that was. */
  #sinceMs = 0;
  #sinceVirtualMs = 0;
  #wallOffsetMs: number;
  #isEnded = false;
  #isPaused = false;
  #backlog: (() => void)[] = [];
  readonly #onEnd: (() => void)[] = [];

  /** `rate` is how fast its clocks run; 1 is right. */
  constructor(scheduler: Scheduler, rate: number, wallOffsetMs: number) {
    this.#scheduler = scheduler;
    this.#rate = rate;
    this.#wallOffsetMs = wallOffsetMs;
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  readonly clock: Clock = {
    monotonicMs: () => this.#monotonicMs(),
    wallMs: () => 1_700_000_000_000 + this.#monotonicMs() + this.#wallOffsetMs,
    after: (delayMs, run) => this.#scheduler.after(delayMs / this.#rate, () => this.post(run)),
    every: (intervalMs, run) => {
      let cancel = (): void => {};
      let isDue = false;
      const next = (): void => {
        cancel = this.#scheduler.after(intervalMs / this.#rate, () => {
          next();
          // An interval that was missed several times happens once.
          if (isDue) return;
          isDue = true;
          this.post(() => {
            isDue = false;
            run();
          });
        });
      };
      next();
      return () => cancel();
    },
  };

  /** Runs `run` in a later turn of the event loop. */
  defer(run: () => void): void {
    this.#scheduler.after(0, () => this.post(run));
  }

  /** Something happens to the process. */
  post(run: () => void): void {
    if (this.#isEnded) return;
    if (!this.#isPaused) run();
    else if (this.#backlog.length < maxBacklog) this.#backlog.push(run);
  }

  pause(durationMs: number): void {
    if (this.#isEnded || this.#isPaused) return;
    this.#isPaused = true;
    this.#scheduler.after(durationMs, () => this.resume());
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    const backlog = this.#backlog;
    this.#backlog = [];
    // A turn each, as an event loop does.
    for (const run of backlog) this.defer(run);
  }

  /** Its clocks run at another rate from now on. */
  setRate(rate: number): void {
    this.#sinceMs = this.#monotonicMs();
    this.#sinceVirtualMs = this.#scheduler.nowMs;
    this.#rate = rate;
  }

  #monotonicMs(): number {
    return this.#sinceMs + (this.#scheduler.nowMs - this.#sinceVirtualMs) * this.#rate;
  }

  /** Somebody sets the wall clock. */
  jump(ms: number): void {
    this.#wallOffsetMs += ms;
  }

  /** Calls `run` when the process ends. */
  onEnd(run: () => void): void {
    if (this.#isEnded) run();
    else this.#onEnd.push(run);
  }

  end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#backlog = [];
    for (const run of this.#onEnd.splice(0)) run();
  }
}
