import type { Clock, Logger } from '@dcache/base';
import { type NodeId, noNode, Role } from './core/message.js';
import type { RawNode } from './core/raw-node.js';
import type { RaftError } from './errors.js';
import { bestSuccessor } from './membership.js';
import { diskFull, handingOver } from './refusals.js';
import type { LogStorage } from './storage.js';

export interface RoomOptions {
  readonly storage: Pick<LogStorage, 'isFull'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly electionTimeoutMs: number;
  readonly core: () => RawNode;
  /** Begins to hand leadership to that voter; the core gives it up after an election timeout. */
  readonly transfer: (to: NodeId) => void;
}

/** Pauses between rounds of tries to hand leadership over, in election timeouts: the first, doubled up to the longest. */
const firstPause = 2;
const longestPause = 32;

/**
 * What a leader does about disks without room for more log.
 *
 * - A quorum of the voters has room and this node has not: it hands leadership to one that has. It tries each of them
 *   for an election timeout; if none took it, it refuses writes, and tries again after a pause that doubles each time.
 * - No quorum has room: writes are refused, because they could not be committed. Leadership stays where it is, since
 *   nobody could do better.
 *
 * So leadership never goes back and forth between full disks: it goes only where a disk has room, and that takes a whole
 * segment of log before it is full again.
 */
export class Room {
  readonly #options: RoomOptions;
  #isFull = false;
  /** `open`: writes are taken. `moving`: another is about to lead, and will take them. `closed`: nobody can now. */
  #writes: 'open' | 'moving' | 'closed' = 'open';
  #hasSaidClosed = false;
  /** Who was tried since the last pause. */
  readonly #tried = new Set<NodeId>();
  /** Pauses since this node, leading, found itself without room. */
  #pauses = 0;
  #pausedUntilMs = Number.NEGATIVE_INFINITY;

  constructor(options: RoomOptions) {
    this.#options = options;
  }

  /** Why the leader takes no write now, if it does not. Cheap while there is room: it is asked for each of them. */
  refusal(): RaftError | undefined {
    if (this.#isFull || this.#options.storage.isFull) this.look();
    if (this.#writes === 'open') return undefined;
    return this.#writes === 'moving' ? handingOver() : diskFull(this.#options.core().status());
  }

  /** Looks if this disk is not as it was. To be called at each turn. */
  lookAgain(): void {
    if (this.#isFull !== this.#options.storage.isFull) this.look();
  }

  /** Tells the core about this disk and, on the leader, decides about writes and leadership. To be called at each tick. */
  look(): void {
    const core = this.#options.core();
    this.#isFull = this.#options.storage.isFull;
    core.setFull(this.#isFull);
    const isLeader = core.role === Role.leader;
    if (!isLeader || !this.#isFull) {
      this.#tried.clear();
      this.#pauses = 0;
      this.#pausedUntilMs = Number.NEGATIVE_INFINITY;
    }
    this.#writes = isLeader ? this.#judge(core) : 'open';
    this.#say(core);
  }

  #judge(core: RawNode): 'open' | 'moving' | 'closed' {
    const { room } = core;
    if (room === 'lost') return 'closed';
    if (!this.#isFull) return 'open';
    // The next heartbeats tell. Who does not answer them counts as having none after an election timeout.
    if (room === 'pending') return 'moving';
    return this.#handOver(core) ? 'moving' : 'closed';
  }

  /** Whether leadership is on its way to another. */
  #handOver(core: RawNode): boolean {
    if (core.basicStatus().leadTransferee !== noNode) return true;
    const { clock, logger, electionTimeoutMs, transfer } = this.#options;
    const nowMs = clock.monotonicMs();
    if (nowMs < this.#pausedUntilMs) return false;
    const to = bestSuccessor(core.status(), ({ id, hasRoom }) => hasRoom === true && !this.#tried.has(id));
    if (to === undefined) {
      this.#pausedUntilMs = nowMs + Math.min(firstPause * 2 ** this.#pauses++, longestPause) * electionTimeoutMs;
      this.#tried.clear();
      return false;
    }
    this.#tried.add(to);
    const say = this.#pauses === 0 ? 'warn' : 'debug';
    logger[say]({ to }, 'this disk is full: leadership is offered to a node that has room');
    transfer(to);
    return true;
  }

  /** Each change once. */
  #say(core: RawNode): void {
    const { logger } = this.#options;
    if (this.#writes === 'closed' && !this.#hasSaidClosed) {
      this.#hasSaidClosed = true;
      const { full, silent } = diskFull(core.status());
      logger.error({ full, silent }, 'writes are refused for want of room on disks');
    } else if (this.#writes === 'open' && this.#hasSaidClosed) {
      this.#hasSaidClosed = false;
      if (core.role === Role.leader) logger.info({}, 'writes are taken again: there is room on the disks');
    }
  }
}
