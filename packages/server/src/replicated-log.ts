import { DcacheError, type ReadLevel, type Reply } from '@dcache/protocol';
import {
  ConfChangeType,
  type ConfState,
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
  /** Resolves when the state machine here may be read at this level. */
  readBarrier(level: Exclude<ReadLevel, 'local'>): Promise<void>;
  status(): RaftStatus;
  changeMember(change: MemberChange, context?: Uint8Array): Promise<ConfState>;
  transferLeadership(to?: number): Promise<void>;
  /** Calls `listener` whenever the leader known here changes; the function returned ends that. */
  onLeaderChange(listener: () => void): () => void;
}

export interface MemberChange {
  readonly type: 'add-learner' | 'promote' | 'remove';
  readonly id: number;
}

/** The entry is certainly not in the log: it may be sent again, here or to another leader. */
export class NotAppendedError extends Error {
  override readonly name = 'NotAppendedError';
}

const memberChangeType = {
  'add-learner': ConfChangeType.addLearner,
  promote: ConfChangeType.addNode,
  remove: ConfChangeType.removeNode,
} as const;

/** The embedded default: Raft in this process. */
export class RaftReplicatedLog implements ReplicatedLog {
  readonly #node: RaftNode<readonly Reply[]>;

  constructor(node: RaftNode<readonly Reply[]>) {
    this.#node = node;
  }

  get id(): number {
    return this.#node.id;
  }

  leader(): number {
    return this.#node.leader;
  }

  append(data: Uint8Array): Promise<readonly Reply[]> {
    return this.#node.propose(data).catch(rethrow);
  }

  async readBarrier(level: Exclude<ReadLevel, 'local'>): Promise<void> {
    await this.#node.readBarrier(level).catch(rethrow);
  }

  status(): RaftStatus {
    return this.#node.status();
  }

  changeMember(change: MemberChange, context?: Uint8Array): Promise<ConfState> {
    return this.#node.changeMembership({
      changes: [{ type: memberChangeType[change.type], nodeId: change.id }],
      ...(context ? { context } : {}),
    });
  }

  transferLeadership(to?: number): Promise<void> {
    return this.#node.transferLeadership(to);
  }

  onLeaderChange(listener: () => void): () => void {
    this.#node.on('leader-change', listener);
    return () => void this.#node.off('leader-change', listener);
  }
}

/** Raft's words in ours. */
const codes: Partial<Record<RaftErrorCode, 'busy' | 'disk-full' | 'too-large' | 'stopping' | 'unknown-outcome'>> = {
  busy: 'busy',
  'disk-full': 'disk-full',
  'too-large': 'too-large',
  stopped: 'stopping',
  'unknown-outcome': 'unknown-outcome',
  aborted: 'unknown-outcome',
  io: 'unknown-outcome',
};

function rethrow(error: unknown): never {
  if (!(error instanceof RaftError)) throw error;
  if (error.code === 'not-leader' || error.code === 'no-leader' || error.code === 'lost')
    throw new NotAppendedError(error.message, { cause: error });
  throw new DcacheError(codes[error.code] ?? 'internal', error.message, { cause: error });
}
