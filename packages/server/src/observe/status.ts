import type { NodeStatus } from '@dcache/protocol';
import type { RaftStatus } from '@dcache/raft';
import type { CacheStateMachine } from '../state/state-machine.js';

/** A node's own view, for people and probes. */
export type ServerStatus = NodeStatus;

/** What the status is made of. */
export interface StatusParts extends Pick<ServerStatus, 'id' | 'raftId' | 'rpcAddr' | 'cluster' | 'servers'> {
  readonly isReady: boolean;
  /** Undefined before the node takes part. */
  readonly raft: RaftStatus | undefined;
  readonly stateMachine: CacheStateMachine;
}

export function serverStatus(parts: StatusParts): ServerStatus {
  const { raft, stateMachine, isReady } = parts;
  const { entries, liveBytes } = stateMachine.store.stats();
  return {
    id: parts.id,
    raftId: parts.raftId,
    rpcAddr: parts.rpcAddr,
    cluster: parts.cluster,
    role: raft?.role ?? 'starting',
    term: raft?.term ?? 0,
    leader: stateMachine.directory.get(raft?.leader ?? 0)?.name,
    isReady,
    isDiskFull: raft?.isDiskFull ?? false,
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

/** Committed entries that a node may not have applied yet, once it has caught up: about what one turn applies. */
const lagEntries = 1_000;

/**
 * Whether a node is a member with a leader, and has applied what it knows to be committed. Once it has (`wasReady`), a
 * short lag is no reason to take it out of service: under load there always is something on its way.
 */
export function isReady(raft: RaftStatus | undefined, isStopping: boolean, wasReady: boolean): boolean {
  if (raft === undefined || isStopping || !raft.isReadable || raft.leader === undefined) return false;
  const mayLag = wasReady ? lagEntries : 0;
  return isMember(raft) && raft.appliedIndex + mayLag >= raft.commitIndex;
}

/** Whether a node is in the configuration that it has applied, as a voter or as a learner. */
export function isMember({ id, confState: { voters, learners } }: Pick<RaftStatus, 'id' | 'confState'>): boolean {
  return voters.includes(id) || learners.includes(id);
}
