import type { ConfChange } from './conf-change.js';
import type { ConfState, MessageType, NodeId, Role } from './message.js';
import type { Progress } from './progress.js';
import type { ConfChangeRefusal, DropReason } from './ready.js';

/** The last entry of a log. */
interface LastEntry {
  readonly lastTerm: number;
  readonly lastIndex: number;
}

/** What the term or the lease of a node made of a message. */
type TermEvent =
  | { readonly kind: 'higher-term'; type: MessageType; from: NodeId; term: number; messageTerm: number }
  | { readonly kind: 'lower-term'; type: MessageType; from: NodeId; term: number; messageTerm: number }
  /** A disk write that was under way when the term changed: what it wrote may be overwritten. */
  | { readonly kind: 'stale-append'; type: MessageType; term: number; messageTerm: number };

type RoleEvent =
  | ({ readonly kind: 'started'; voters: readonly NodeId[]; term: number; commit: number; applied: number } & LastEntry)
  | { readonly kind: 'role-changed'; role: Role; term: number }
  | { readonly kind: 'leader-forgotten'; leader: NodeId; term: number }
  | { readonly kind: 'forget-leader-refused' }
  | { readonly kind: 'quorum-inactive' };

type ElectionEvent =
  | { readonly kind: 'election-refused'; reason: 'is-leader' | 'unpromotable' | 'unapplied-change'; term: number }
  | { readonly kind: 'election-started'; term: number }
  | ({ readonly kind: 'vote-requested'; type: MessageType; to: NodeId; term: number } & LastEntry)
  | { readonly kind: 'vote-received'; type: MessageType; from: NodeId; granted: boolean; term: number }
  | { readonly kind: 'votes-counted'; type: MessageType; granted: number; rejected: number }
  | ({
      readonly kind: 'vote-decided';
      /** 'lease': neither granted nor rejected, because a live leader is known. */
      decision: 'cast' | 'rejected' | 'lease';
      type: MessageType;
      from: NodeId;
      vote: NodeId;
      term: number;
      candidateTerm: number;
      candidateIndex: number;
      leaseTicks: number;
    } & LastEntry)
  | { readonly kind: 'timeout-now'; from: NodeId; term: number }
  | { readonly kind: 'timeout-now-ignored'; from: NodeId; term: number; role: Role };

type ReplicationEvent =
  | { readonly kind: 'append-refused'; from: NodeId; index: number; hintIndex: number; hintTerm: number }
  | { readonly kind: 'progress-decreased'; progress: Progress }
  | { readonly kind: 'progress-unknown'; from: NodeId }
  | { readonly kind: 'peer-unreachable'; progress: Progress }
  | { readonly kind: 'snapshot-held'; to: NodeId; reason: 'inactive' | 'unavailable' }
  | {
      readonly kind: 'snapshot-sent';
      progress: Progress;
      firstIndex: number;
      commit: number;
      index: number;
      term: number;
    }
  | { readonly kind: 'replication-paused'; progress: Progress }
  | { readonly kind: 'snapshot-recovered'; progress: Progress }
  | { readonly kind: 'snapshot-reported'; ok: boolean; progress: Progress }
  | { readonly kind: 'proposal-dropped'; reason: DropReason; term: number; leader: NodeId; transferee: NodeId };

type FollowerEvent =
  | {
      readonly kind: 'append-rejected';
      from: NodeId;
      ownTerm: number;
      index: number;
      messageLogTerm: number;
    }
  | { readonly kind: 'snapshot-refused'; reason: 'not-follower' | 'not-member'; confState: ConfState }
  | ({
      /** 'restored' tells the log's side, 'accepted' and 'ignored' what the leader is told. */
      readonly kind: 'snapshot-received';
      outcome: 'restored' | 'fast-forwarded' | 'accepted' | 'ignored';
      commit: number;
      index: number;
      term: number;
    } & LastEntry)
  | { readonly kind: 'read-dropped'; term: number };

type LogEvent =
  | { readonly kind: 'conflict-found'; index: number; ownTerm: number; term: number }
  | { readonly kind: 'unstable-replaced'; index: number }
  | { readonly kind: 'unstable-truncated'; index: number }
  | {
      readonly kind: 'stable-ignored';
      reason: 'missing' | 'snapshot' | 'mismatch';
      index: number;
      term: number;
      ownTerm: number;
    }
  | {
      readonly kind: 'log-restoring';
      committed: number;
      applied: number;
      applying: number;
      unstableOffset: number;
      unstableInProgress: number;
      unstableLength: number;
      index: number;
      term: number;
    };

type MembershipEvent =
  | { readonly kind: 'configuration-switched'; configuration: ConfState }
  | {
      readonly kind: 'conf-change-refused';
      /** Undefined where the bytes of the proposal are no change. */
      change: ConfChange | undefined;
      configuration: ConfState;
      refusal: ConfChangeRefusal;
      pendingIndex: number;
      applied: number;
    }
  | { readonly kind: 'joint-leave'; started: boolean; configuration: ConfState };

type TransferEvent = {
  readonly kind: 'transfer';
  stage:
    | 'started'
    | 'sent-at-once'
    | 'sent-after-append'
    | 'same-node'
    | 'aborted'
    | 'self'
    | 'learner'
    /** A follower without a leader was asked. */
    | 'no-leader';
  to: NodeId;
  term: number;
};

/** Something that happened in a core: data, no text. Numbers without a unit are indexes and terms. */
export type TraceEvent =
  | TermEvent
  | RoleEvent
  | ElectionEvent
  | ReplicationEvent
  | FollowerEvent
  | LogEvent
  | MembershipEvent
  | TransferEvent;

/** Is called while the event happens: what it is handed is valid only during the call, and must not call the core. */
export type Trace = (event: TraceEvent) => void;
