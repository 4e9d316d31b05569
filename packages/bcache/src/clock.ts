import { type Clock, systemClock } from '@dcache/base';

/** Reads in one turn that share a look at the clock. */
const readsPerLook = 16;
const resolutionMs = 1;

/**
 * Monotonic time for reads. Asking the system costs as much as the rest of a hit, so a look lasts for a millisecond, or
 * for a few reads where the event loop does not turn. A clock that was given is asked every time.
 */
export function readClock(clock: Clock): { now: () => number; set: (nowMs: number) => void } {
  if (clock !== systemClock) return { now: () => clock.monotonicMs(), set: () => {} };
  let nowMs = 0;
  let left = 0;
  let isTimed = false;
  const expire = (): void => {
    isTimed = false;
    left = 0;
  };
  const set = (lookMs: number): void => {
    nowMs = lookMs;
    left = readsPerLook;
    if (isTimed) return;
    isTimed = true;
    setTimeout(expire, resolutionMs).unref();
  };
  const now = (): number => {
    if (left-- > 0) return nowMs;
    set(clock.monotonicMs());
    return nowMs;
  };
  return { now, set };
}
