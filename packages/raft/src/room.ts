import type { Clock, Logger } from '@dcache/base';
import { type NodeId, noNode, Role } from './core/message.js';
import type { RawNode } from './core/raw-node.js';
import type { PeerStatus, Status } from './core/ready.js';
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
const longestPause = 8;

/**
 * What speaks for a voter as the next leader. `none`: it has no room, has not said so, or was not heard for an election
 * timeout. `some`: it has room, and lacks a part of the log. `good`: it has all of the log, too.
 */
const Prospects = { none: 0, some: 1, good: 2 } as const;
type Prospects = (typeof Prospects)[keyof typeof Prospects];

function prospectsOf({ hasRoom, isSilent, matchIndex }: PeerStatus, { lastIndex }: Status): Prospects {
  if (hasRoom !== true || isSilent) return Prospects.none;
  return matchIndex === lastIndex ? Prospects.good : Prospects.some;
}

/**
 * What a leader does about disks without room for more log.
 *
 * - A quorum of the voters has room and this node has not: it hands leadership to one that has. It tries each of them
 *   for an election timeout; if none took it, it refuses writes, and tries again after a pause that doubles each time.
 *   A voter that has better prospects than when it was tried is tried again at once.
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
  /** Who was tried since the last pause ended, and is not to be tried again before it has better prospects than these. */
  readonly #tried = new Map<NodeId, Prospects>();
  /** Pauses since this node, leading, found itself without room. */
  #pauses = 0;
  #pausedUntilMs: number | undefined;

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
    if (isLeader && this.#isFull) {
      this.#forgetBettered(core.status());
    } else {
      this.#tried.clear();
      this.#pauses = 0;
      this.#pausedUntilMs = undefined;
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

  /**
   * Who was tried and failed may be tried again when it could not lead meanwhile and can now: it was not heard, or was
   * full. And when it has come to have all of the log, which it lacked.
   */
  #forgetBettered(status: Status): void {
    for (const peer of status.peers) {
      const before = this.#tried.get(peer.id);
      if (before === undefined) continue;
      const now = prospectsOf(peer, status);
      const isBetter = now > before;
      if (isBetter && status.leadTransferee !== peer.id) this.#tried.delete(peer.id);
      // To lag behind for a moment and catch up again is nothing new.
      else if (isBetter || now === Prospects.none) this.#tried.set(peer.id, now);
    }
  }

  /** Whether leadership is on its way to another. */
  #handOver(core: RawNode): boolean {
    const status = core.status();
    if (status.leadTransferee !== noNode) return true;
    const { clock, logger, electionTimeoutMs, transfer } = this.#options;
    const nowMs = clock.monotonicMs();
    if (this.#pausedUntilMs !== undefined && nowMs >= this.#pausedUntilMs) {
      this.#pausedUntilMs = undefined;
      this.#tried.clear();
    }
    const canLead = (peer: PeerStatus): boolean => prospectsOf(peer, status) !== Prospects.none;
    const to = bestSuccessor(status, (peer) => canLead(peer) && !this.#tried.has(peer.id));
    if (to === undefined) {
      this.#pausedUntilMs ??= nowMs + Math.min(firstPause * 2 ** this.#pauses++, longestPause) * electionTimeoutMs;
      return false;
    }
    this.#tried.set(to, prospectsOf(status.peers.find(({ id }) => id === to)!, status));
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
