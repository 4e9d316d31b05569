import type { SwimCounters } from './core/context.js';
import type { SerfCore } from './core/serf.js';
import type { DriverCounters } from './driver.js';

/** A snapshot of counts and clocks. Counters only grow while the node runs. */
export interface SerfStats extends Readonly<SwimCounters>, Readonly<DriverCounters> {
  /** Members by status; `members` counts all of them. */
  readonly members: number;
  readonly alive: number;
  readonly leaving: number;
  readonly left: number;
  readonly failed: number;
  /** 0 is healthy, 7 the worst with the default profiles. */
  readonly healthScore: number;
  readonly memberTime: number;
  readonly eventTime: number;
  readonly queryTime: number;
  readonly queuedClaims: number;
  readonly queuedIntents: number;
  readonly queuedEvents: number;
  readonly queuedQueries: number;
  /** Answers of others that this member passed on. */
  readonly relays: number;
  readonly encrypted: boolean;
}

export function collectStats(core: SerfCore, counters: DriverCounters, encrypted: boolean): SerfStats {
  const { roster, clocks, queueLengths } = core;
  return {
    ...core.counters,
    ...counters,
    members: roster.size,
    alive: roster.count('alive'),
    leaving: roster.count('leaving'),
    left: roster.count('left'),
    failed: roster.count('failed'),
    healthScore: core.healthScore,
    memberTime: clocks.member,
    eventTime: clocks.event,
    queryTime: clocks.query,
    queuedClaims: queueLengths.claims,
    queuedIntents: queueLengths.intents,
    queuedEvents: queueLengths.events,
    queuedQueries: queueLengths.queries,
    relays: core.relays,
    encrypted,
  };
}
