import type { Clock } from '@dcache/base';
import type { CacheStateMachine } from '../state/state-machine.js';
import type { GroupCommit } from './group-commit.js';
import type { LogTime } from './log-time.js';
import type { ReplicatedLog } from './replicated-log.js';

export interface ExpiryClockParts {
  readonly log: ReplicatedLog;
  readonly groupCommit: GroupCommit;
  readonly stateMachine: CacheStateMachine;
  readonly time: LogTime;
  readonly clock: Clock;
}

/** How often the leader looks whether something is due to expire, in milliseconds. */
const intervalMs = 100;

/**
 * Nothing is written, but something is due: the leader proposes entries that carry nothing but time, one after the other,
 * because each lets only so many expire.
 */
export class ExpiryClock {
  readonly #parts: ExpiryClockParts;
  readonly #cancel: () => void;
  #isStopped = false;
  #isProposing = false;

  constructor(parts: ExpiryClockParts) {
    this.#parts = parts;
    this.#cancel = parts.clock.every(intervalMs, () => void this.#propose());
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel();
  }

  async #propose(): Promise<void> {
    if (this.#isProposing) return;
    this.#isProposing = true;
    const { log, groupCommit, stateMachine, time } = this.#parts;
    try {
      while (!this.#isStopped && log.leader() === log.id) {
        const dueMs = stateMachine.store.nextExpiryMs();
        if (dueMs === undefined || dueMs > time.nowMs()) return;
        await groupCommit.appendTime();
      }
    } catch {
      // Lost with the leadership or refused as busy, it is proposed again at the next look.
    } finally {
      this.#isProposing = false;
    }
  }
}
