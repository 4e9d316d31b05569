import type { ServerInfo } from '@dcache/protocol';
import type { RaftStatus } from '@dcache/raft';
import type { CacheStateMachine } from './state-machine.js';

/** A node's own view, for people and probes. */
export interface ServerStatus {
  readonly id: string;
  readonly raftId: number;
  readonly rpcAddr: string;
  readonly cluster: string | undefined;
  readonly role: string;
  readonly term: number;
  /** The leader's name, undefined where none is known. */
  readonly leader: string | undefined;
  /** A member that has applied what it knows to be committed. */
  readonly isReady: boolean;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly revision: number;
  /** Log time of the last applied entry, in milliseconds since 1970. */
  readonly stampMs: number;
  readonly entries: number;
  readonly liveBytes: number;
  /** Equal on any two nodes at the same applied index. */
  readonly stateHash: string;
  readonly servers: readonly ServerInfo[];
}

/** What the status is made of. */
export interface StatusParts extends Pick<ServerStatus, 'id' | 'raftId' | 'rpcAddr' | 'cluster' | 'servers'> {
  readonly isStopping: boolean;
  /** Undefined before the node takes part. */
  readonly raft: RaftStatus | undefined;
  readonly stateMachine: CacheStateMachine;
}

export function serverStatus(parts: StatusParts): ServerStatus {
  const { raft, stateMachine, isStopping } = parts;
  const members = raft ? [...raft.confState.voters, ...raft.confState.learners] : [];
  const { entries, liveBytes } = stateMachine.store.stats();
  return {
    id: parts.id,
    raftId: parts.raftId,
    rpcAddr: parts.rpcAddr,
    cluster: parts.cluster,
    role: raft?.role ?? 'starting',
    term: raft?.term ?? 0,
    leader: stateMachine.directory.get(raft?.leader ?? 0)?.name,
    isReady:
      raft !== undefined &&
      !isStopping &&
      raft.isReadable &&
      raft.leader !== undefined &&
      members.includes(raft.id) &&
      raft.appliedIndex >= raft.commitIndex,
    commitIndex: raft?.commitIndex ?? 0,
    appliedIndex: raft?.appliedIndex ?? 0,
    revision: stateMachine.revision,
    stampMs: stateMachine.stampMs,
    entries,
    liveBytes,
    stateHash: stateMachine.stateHash(),
    servers: parts.servers,
  };
}
