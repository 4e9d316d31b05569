import type { ServerInfo } from '@dcache/protocol';

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
