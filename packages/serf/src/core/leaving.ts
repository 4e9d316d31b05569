import type { Timing } from './config.js';
import type { EffectSink } from './effects.js';
import type { Swim } from './swim.js';
import type { Timers } from './timers.js';

export interface LeavingSetup {
  readonly timing: Timing;
  readonly timers: Timers;
  readonly swim: Swim;
  readonly effects: EffectSink;
  /** Queues the upper layer's leave intent; `done` when it was gossiped often enough. */
  readonly announceIntent: (done: () => void) => void;
}

/**
 * A leave in order, so that the pool sees "left" and not "failed": the upper layer's intent first, the lower layer's
 * farewell after it, then a while of answering pings while both spread. Each wait has an end.
 */
export class Leaving {
  readonly #setup: LeavingSetup;
  #started = false;

  constructor(setup: LeavingSetup) {
    this.#setup = setup;
  }

  get hasStarted(): boolean {
    return this.#started;
  }

  start(): void {
    if (this.#started) return;
    this.#started = true;
    const { swim, effects, timing, timers, announceIntent } = this.#setup;
    const isAlone = !swim.hasPeers;
    const finish = (): void => effects.event({ type: 'left' });
    const farewell = (): void => swim.leave(isAlone ? () => {} : linger);
    const linger = once(() => timers.at(timers.nowMs + timing.leavePropagateDelayMs, finish));
    const spread = once(() => {
      timers.at(timers.nowMs + timing.broadcastTimeoutMs, linger);
      farewell();
    });
    if (isAlone) {
      announceIntent(() => {});
      farewell();
      finish();
      return;
    }
    timers.at(timers.nowMs + timing.broadcastTimeoutMs, spread);
    announceIntent(spread);
  }
}

function once(run: () => void): () => void {
  let done = false;
  return () => {
    if (done) return;
    done = true;
    run();
  };
}
