import type { Random } from '@dcache/base';
import type { Timing } from './config.js';
import type { CoordinateClient } from './coordinate.js';
import type { EffectSink } from './effects.js';
import type { Roster } from './roster.js';
import type { SerfQueues } from './serf-queues.js';
import type { Timers } from './timers.js';

export interface UpkeepSetup {
  readonly timing: Timing;
  readonly timers: Timers;
  readonly random: Random;
  readonly roster: Roster;
  readonly queues: SerfQueues;
  readonly coordinates: CoordinateClient;
  readonly effects: EffectSink;
  readonly isLeaving: () => boolean;
}

/** What the upper layer does from time to time: it forgets who is gone for good, and looks for those who failed. */
export function startUpkeep(setup: UpkeepSetup): void {
  const { timing, timers, queues } = setup;
  timers.every(timing.reapIntervalMs, () => reap(setup));
  timers.every(timing.reconnectIntervalMs, () => reconnect(setup));
  timers.every(timing.queueCheckIntervalMs, () => queues.prune());
}

function reap({ roster, timers, coordinates }: UpkeepSetup): void {
  const before = new Set(roster.members().map((member) => member.name));
  roster.reap(timers.nowMs);
  for (const name of before) if (roster.get(name) === undefined) coordinates.forget(name);
}

/** Tries to reach a failed member, the more often the more have failed: it may be back without knowing anybody. */
function reconnect({ roster, random, effects, isLeaving }: UpkeepSetup): void {
  if (isLeaving()) return;
  const failed = roster.withStatus('failed');
  if (failed.length === 0) return;
  const up = Math.max(1, roster.size - failed.length - roster.count('left'));
  if (random.next() > failed.length / up) return;
  const chosen = failed[random.below(failed.length)]!;
  effects.pushPull({ to: roster.endpoint(chosen.name)!, node: chosen.name, join: true });
}
