import type { NodeStatus } from '@dcache/protocol';
import type { RaftStatus } from '@dcache/raft';
import type { CacheStateMachine } from './state-machine.js';

/** A node's own view, for people and probes. */
export type ServerStatus = NodeStatus;

/** What the status is made of. */
export interface StatusParts extends Pick<ServerStatus, 'id' | 'raftId' | 'rpcAddr' | 'cluster' | 'servers'> {
  readonly isStopping: boolean;
  /** Undefined before the node takes part. */
  readonly raft: RaftStatus | undefined;
  readonly stateMachine: CacheStateMachine;
}

export function serverStatus(parts: StatusParts): ServerStatus {
  const { raft, stateMachine, isStopping } = parts;
  const { entries, liveBytes } = stateMachine.store.stats();
  return {
    id: parts.id,
    raftId: parts.raftId,
    rpcAddr: parts.rpcAddr,
    cluster: parts.cluster,
    role: raft?.role ?? 'starting',
    term: raft?.term ?? 0,
    leader: stateMachine.directory.get(raft?.leader ?? 0)?.name,
    isReady: isReady(raft, isStopping),
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

/** Whether a node is a member with a leader, and has applied what it knows to be committed. */
export function isReady(raft: RaftStatus | undefined, isStopping: boolean): boolean {
  if (raft === undefined || isStopping || !raft.isReadable || raft.leader === undefined) return false;
  const { voters, learners } = raft.confState;
  return (voters.includes(raft.id) || learners.includes(raft.id)) && raft.appliedIndex >= raft.commitIndex;
}
