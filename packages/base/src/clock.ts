/**
 * Time as a driver sees it, so that a simulation can bring its own. Timeouts and durations use `monotonicMs`; only what
 * a person or another machine reads uses `wallMs`, which may jump.
 */
export interface Clock {
  /** Milliseconds since some fixed moment, never going back. */
  monotonicMs(): number;
  /** Milliseconds since 1970 in UTC, as the machine believes. */
  wallMs(): number;
  /** Calls `run` once after `delayMs`; the function returned cancels it. Does not keep the process alive. */
  after(delayMs: number, run: () => void): () => void;
  /** Calls `run` every `intervalMs`; the function returned stops it. Does not keep the process alive. */
  every(intervalMs: number, run: () => void): () => void;
}

/** The machine's clock. */
export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
  every(intervalMs, run) {
    const timer = setInterval(run, intervalMs);
    timer.unref();
    return () => clearInterval(timer);
  },
};
