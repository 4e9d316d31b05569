import type { Intents } from './intents.js';
import type { SerfState } from './message.js';
import type { QueryDesk } from './query-desk.js';
import type { Roster } from './roster.js';
import type { UserEvents } from './user-events.js';

/** What the upper layer's part of a push/pull is made from, and merged into. */
export interface ExchangeParts {
  readonly roster: Roster;
  readonly intents: Intents;
  readonly events: UserEvents;
  readonly queries: QueryDesk;
}

/** This member's side. */
export function makeSerfState({ roster, intents, events, queries }: ExchangeParts): SerfState {
  return {
    lTime: intents.clock.time,
    eventLTime: events.clock.time,
    queryLTime: queries.clock.time,
    statusLTimes: roster.statusLTimes(),
    leftMembers: roster.withStatus('left').map((member) => member.name),
    events: events.slots(),
  };
}

/** Takes over the other side. `ignoreOldEvents` at a join: events sent before it are not delivered. */
export function mergeSerfState(state: SerfState, parts: ExchangeParts, ignoreOldEvents: boolean): void {
  const { intents, events, queries } = parts;
  // The other side's clock shows its next time; what it has seen is one less.
  if (state.lTime > 0) intents.clock.witness(state.lTime - 1);
  if (state.eventLTime > 0) events.clock.witness(state.eventLTime - 1);
  if (state.queryLTime > 0) queries.clock.witness(state.queryLTime - 1);
  const left = new Set(state.leftMembers);
  for (const node of left) {
    // The intent itself may be long gone; one that is newer than all known of the member stands for it.
    const lTime = (state.statusLTimes.get(node) ?? 0) + 1;
    intents.apply({ type: 'leave', lTime, node, prune: false });
  }
  for (const [node, lTime] of state.statusLTimes) if (!left.has(node)) intents.apply({ type: 'join', lTime, node });
  if (ignoreOldEvents) events.ignoreBefore(state.eventLTime);
  for (const slot of state.events) {
    if (slot === undefined) continue;
    const { lTime } = slot;
    for (const { name, payload } of slot.events)
      events.receive({ type: 'user-event', lTime, name, payload, coalesce: false }, undefined);
  }
}
