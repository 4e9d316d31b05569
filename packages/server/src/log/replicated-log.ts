import { DcacheError, type ErrorCode, ReadLevel, type Reply } from '@dcache/protocol';
import {
  type ConfState,
  type MembershipChange,
  RaftError,
  type RaftErrorCode,
  type RaftNode,
  type RaftStatus,
} from '@dcache/raft';

/**
 * All that the server knows of consensus. `RaftNode` is behind it; another engine would be another class.
 * Places in the log are Raft indexes here.
 */
export interface ReplicatedLog {
  /** This node's id in the log's configuration. */
  readonly id: number;
  /** The leader's id, 0 where none is known. */
  leader(): number;
  /**
   * Appends one entry on the leader and resolves with its replies once it is applied here. Rejects with
   * `NotAppendedError` where the entry is certainly not in the log, else with a `DcacheError`.
   */
  append(data: Uint8Array): Promise<readonly Reply[]>;
  /**
   * Resolves when the state machine here may be read at this level; the read must follow at once. A `lease` must be asked
   * for again after the read, with `isLeaseValid`. On a follower a lease costs the same round as a linearizable read.
   */
  readBarrier(level: Exclude<ReadLevel, 'local'>): Promise<void>;
  /** Whether what was read under the lease may be used. Always true on a follower, which has used none. */
  isLeaseValid(): boolean;
  status(): RaftStatus;
  /** Rejects with a `DcacheError`. */
  changeMember(change: MembershipChange): Promise<ConfState>;
  transferLeadership(to?: number): Promise<void>;
  /** Calls `listener` whenever the leader known here changes; the function returned ends that. */
  onLeaderChange(listener: () => void): () => void;
}

/** The entry is certainly not in the log: it may be sent again, here or to another leader. */
export class NotAppendedError extends Error {
  override readonly name = 'NotAppendedError';
}

/** The embedded default: Raft in this process. Make it before the node starts, so that it hears of every leader. */
export class RaftReplicatedLog implements ReplicatedLog {
  readonly #node: RaftNode<readonly Reply[]>;
  readonly #nameOf: (id: number) => string | undefined;
  /** 0 where none is known. */
  #leader = 0;

  /** `nameOf` says what a member is called, for messages that others read. */
  constructor(node: RaftNode<readonly Reply[]>, nameOf: (id: number) => string | undefined) {
    this.#node = node;
    this.#nameOf = nameOf;
    node.on('leader-change', ({ leader }) => {
      this.#leader = leader ?? 0;
    });
  }

  get id(): number {
    return this.#node.id;
  }

  leader(): number {
    return this.#leader;
  }

  append(data: Uint8Array): Promise<readonly Reply[]> {
    return this.#node.propose(data).catch((error: unknown) => {
      if (error instanceof RaftError && error.code === 'disk-full')
        throw new DcacheError('disk-full', `${this.#shortOfRoom(error)}; nothing was done`, { cause: error });
      rethrow(error);
    });
  }

  async readBarrier(level: Exclude<ReadLevel, 'local'>): Promise<void> {
    const isLeader = this.#leader === this.id;
    await this.#node.readBarrier(isLeader ? level : ReadLevel.linearizable).catch(rethrow);
  }

  isLeaseValid(): boolean {
    return this.#leader !== this.id || this.#node.isLeaseValid();
  }

  status(): RaftStatus {
    return this.#node.status();
  }

  async changeMember(change: MembershipChange): Promise<ConfState> {
    try {
      return await this.#node.changeMembership(change).catch(rethrow);
    } catch (error) {
      // Unlike a write it is not sent to the next leader by itself: that one compares anew.
      if (!(error instanceof NotAppendedError)) throw error;
      throw new DcacheError('no-leader', `${error.message}; nothing was done`, { cause: error });
    }
  }

  async transferLeadership(to?: number): Promise<void> {
    try {
      await this.#node.transferLeadership(to);
    } catch (error) {
      if (!(error instanceof RaftError && error.code === 'disk-full')) throw error;
      throw new DcacheError('precondition-failed', `${this.#shortOfRoom(error)}: as leader it could take no writes`, {
        cause: error,
      });
    }
  }

  onLeaderChange(listener: () => void): () => void {
    const call = (): void => listener();
    this.#node.on('leader-change', call);
    return () => void this.#node.off('leader-change', call);
  }

  /** Whose disks are to be looked at: the request may have come in at any node. */
  #shortOfRoom({ full, silent }: RaftError): string {
    const named = (ids: readonly number[]): string =>
      ids.map((id) => `${this.#nameOf(id) ?? id}${id === this.id ? ' (the leader)' : ''}`).join(' and ');
    const unheard = silent.length === 0 ? '' : `, and ${named(silent)} cannot be heard`;
    return `there is no room for more log on the disk of ${named(full)}${unheard}`;
  }
}

/** Raft's words in ours. */
const codes: Partial<Record<RaftErrorCode, ErrorCode>> = {
  busy: 'busy',
  'not-caught-up': 'busy',
  refused: 'precondition-failed',
  'disk-full': 'disk-full',
  'too-large': 'too-large',
  stopped: 'stopping',
  'unknown-outcome': 'unknown-outcome',
  aborted: 'unknown-outcome',
  io: 'unknown-outcome',
};

/** What a leader, or one that was, certainly did not take. While leadership moves, the next one will within moments. */
const notInTheLog: ReadonlySet<RaftErrorCode> = new Set(['not-leader', 'no-leader', 'handing-over', 'lost']);

function rethrow(error: unknown): never {
  if (!(error instanceof RaftError)) throw error;
  if (notInTheLog.has(error.code)) throw new NotAppendedError(error.message, { cause: error });
  throw new DcacheError(codes[error.code] ?? 'internal', error.message, { cause: error });
}
