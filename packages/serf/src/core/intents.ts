import type { Timing } from './config.js';
import { LamportClock } from './lamport.js';
import type { JoinIntent, LeaveIntent } from './message.js';
import type { Roster } from './roster.js';
import type { SerfQueues } from './serf-queues.js';
import type { Timers } from './timers.js';

export interface IntentsSetup {
  readonly name: string;
  readonly timing: Timing;
  readonly roster: Roster;
  readonly queues: SerfQueues;
  readonly timers: Timers;
  readonly isLeaving: () => boolean;
}

/**
 * Who means to join and who means to leave, by their own word or another's. Intents carry Lamport times and reach
 * everybody by gossip; the newest about a member counts, whatever the order of arrival.
 */
export class Intents {
  readonly clock: LamportClock = new LamportClock();
  readonly #setup: IntentsSetup;

  constructor(setup: IntentsSetup) {
    this.#setup = setup;
  }

  /** One that was heard; passed on when it was news. */
  hear(intent: JoinIntent | LeaveIntent, raw: Uint8Array | undefined): void {
    const { queues } = this.#setup;
    if (this.apply(intent)) queues.add(queues.intents, intent, raw);
  }

  /** Whether the intent was news. */
  apply(intent: JoinIntent | LeaveIntent): boolean {
    const { name, roster, timers, isLeaving } = this.#setup;
    this.clock.witness(intent.lTime);
    if (intent.type === 'join') return roster.join(intent, timers.nowMs);
    if (intent.node === name && !isLeaving()) {
      // Somebody believes that this member leaves. It does not: a join that is newer says so. An equal time is answered
      // too: who heard the leave before our join of that time would ignore the join.
      if (intent.lTime >= roster.statusLTime(intent.node)) this.#announceJoin(this.clock.time);
      return false;
    }
    const isNews = roster.leave(intent, timers.nowMs);
    if (isNews && intent.prune) this.#prune(intent.node);
    return isNews;
  }

  /** After a join: with the merged clock, which exceeds all that the pool knew about this name. */
  announceJoin(): void {
    this.#announceJoin(this.clock.next());
  }

  /** This member leaves; `done` when that was gossiped often enough. */
  announceLeave(done: () => void): void {
    this.#announceLeave(this.#setup.name, false, done);
  }

  /** Another member is said to have left; `done` likewise, at once where there is nobody to tell. */
  forceLeave(node: string, prune: boolean, hasPeers: boolean, done: () => void): void {
    this.#announceLeave(node, prune, hasPeers ? done : undefined);
    if (!hasPeers) done();
  }

  #announceJoin(lTime: number): void {
    const { name: node, queues } = this.#setup;
    const intent: JoinIntent = { type: 'join', lTime, node };
    this.apply(intent);
    queues.add(queues.intents, intent);
  }

  #announceLeave(node: string, prune: boolean, done: (() => void) | undefined): void {
    const { queues } = this.#setup;
    const intent: LeaveIntent = { type: 'leave', lTime: this.clock.next(), node, prune };
    this.apply(intent);
    queues.add(queues.intents, intent, undefined, done);
  }

  /** Erases a member that was declared gone; one that only now leaves is given the time to do so. */
  #prune(node: string): void {
    const { name, timing, roster, timers } = this.#setup;
    const status = roster.get(node)?.status;
    if (status === undefined || node === name) return;
    if (status !== 'leaving') {
      roster.erase(node);
      return;
    }
    timers.at(timers.nowMs + timing.broadcastTimeoutMs + timing.leavePropagateDelayMs, () => {
      const now = roster.get(node)?.status;
      if (now !== undefined && now !== 'alive') roster.erase(node);
    });
  }
}
