import type { Message, NodeId } from '@dcache/raft';
import type { Checkers } from './checkers.js';
import type { Mutation } from './mutation.js';
import type { Scheduler } from './scheduler.js';

/** How all nodes of one run are built; most are options of the core. */
export interface NodeSettings {
  /** Asynchronous storage writes, as against one `Ready` after the other. */
  readonly isAsync: boolean;
  readonly readOnly: 'safe' | 'lease';
  readonly preVote: boolean;
  readonly checkQuorum: boolean;
  readonly electionTicks: number;
  readonly maxSizePerMessage: number;
  readonly maxCommittedSizePerReady: number;
  readonly maxInflightMessages: number;
  /** Whether a restart finds the disk as it was. */
  readonly isDurable: boolean;
  readonly mutation: Mutation | undefined;
}

/** What a node needs of the world around it. */
export interface NodeWorld {
  readonly scheduler: Scheduler;
  readonly checkers: Checkers;
  /** A line for the trace. */
  note(text: string): void;
  send(sender: NodeId, message: Message): void;
  /** A node begins to lead. */
  elected(): void;
  /** A process has ended. */
  crashed(): void;
  /** How long the next write takes to become durable. */
  syncDelayMs(): number;
}
