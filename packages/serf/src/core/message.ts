/**
 * What travels between members, as data. The names are those of the wire (memberlist and Serf), the codec turns them
 * into bytes. A message is never changed after it was made: queues and packets share it.
 */

/** Where a member listens. */
export interface Endpoint {
  /**
   * 4 or 16 bytes exactly as the member announced them. Peers compare them bytewise, so an IPv4 address that came in
   * its 16-byte form must stay in it.
   */
  readonly addr: Uint8Array;
  readonly port: number;
}

export interface Ping {
  readonly type: 'ping';
  readonly seqNo: number;
  /** The name believed to live at the destination; empty means anybody. */
  readonly node: string;
  /** Where the ack goes; without it, to the address the datagram came from. */
  readonly source?: Endpoint;
  readonly sourceNode?: string;
}

export interface IndirectPing {
  readonly type: 'indirect-ping';
  readonly seqNo: number;
  readonly node: string;
  readonly target: Endpoint;
  /** Whether the asker understands a nack. */
  readonly nack: boolean;
  readonly source?: Endpoint;
  readonly sourceNode?: string;
}

export interface Ack {
  readonly type: 'ack';
  readonly seqNo: number;
  /** The answering member's network coordinate; only acks to direct datagram pings carry one. */
  readonly coordinate?: Coordinate;
}

export interface Nack {
  readonly type: 'nack';
  readonly seqNo: number;
}

export interface Suspect {
  readonly type: 'suspect';
  readonly incarnation: number;
  readonly node: string;
  readonly from: string;
}

export interface Alive extends Endpoint {
  readonly type: 'alive';
  readonly incarnation: number;
  readonly node: string;
  /** Encoded tags, at most 512 bytes. */
  readonly meta: Uint8Array;
  /** Protocol numbers: min, max, current of the membership layer, then of Serf. Exactly six bytes. */
  readonly vsn: Uint8Array;
}

export interface Dead {
  readonly type: 'dead';
  readonly incarnation: number;
  readonly node: string;
  /** Equal to `node` when the member left by itself. */
  readonly from: string;
}

/** A message of the upper layer, carried by the lower one. */
export interface User {
  readonly type: 'user';
  readonly body: SerfMessage;
  /** The bytes as received, without the leading type 8: a rebroadcast passes these on unchanged. */
  readonly raw?: Uint8Array;
}

export type Claim = Alive | Suspect | Dead;
export type SwimMessage = Ping | IndirectPing | Ack | Nack | Claim | User;

/** A Vivaldi coordinate (Dabek et al. 2004, with the height and adjustment terms Serf uses); all in seconds. */
export interface Coordinate {
  /** Eight components. */
  readonly vec: readonly number[];
  readonly error: number;
  readonly adjustment: number;
  readonly height: number;
}

/** The numbers are the protocol. */
export const NodeState = { alive: 0, suspect: 1, dead: 2, left: 3 } as const;
export type NodeState = (typeof NodeState)[keyof typeof NodeState];

/** One row of the table two members swap in a push/pull. */
export interface NodeRow extends Endpoint {
  readonly name: string;
  readonly incarnation: number;
  readonly meta: Uint8Array;
  readonly state: NodeState;
  readonly vsn: Uint8Array;
}

export interface LeaveIntent {
  readonly type: 'leave';
  readonly lTime: number;
  readonly node: string;
  readonly prune: boolean;
}

export interface JoinIntent {
  readonly type: 'join';
  readonly lTime: number;
  readonly node: string;
}

export interface UserEventMessage {
  readonly type: 'user-event';
  readonly lTime: number;
  readonly name: string;
  readonly payload: Uint8Array;
  /** Whether a listener may keep only the newest event of this name in a burst. */
  readonly coalesce: boolean;
}

/** Which members a query is for; all filters of a query must match. */
export type QueryFilter =
  | { readonly kind: 'nodes'; readonly names: readonly string[] }
  | { readonly kind: 'tag'; readonly tag: string; readonly expression: string }
  | { readonly kind: 'unknown' };

export const QueryFlag = { ack: 1, noBroadcast: 2 } as const;

export interface QueryMessage {
  readonly type: 'query';
  readonly lTime: number;
  readonly id: number;
  readonly origin: Endpoint;
  readonly sourceNode: string;
  readonly filters: readonly QueryFilter[];
  /** Bits of `QueryFlag`. */
  readonly flags: number;
  readonly relayFactor: number;
  readonly timeoutMs: number;
  readonly name: string;
  readonly payload: Uint8Array;
}

export interface QueryResponse {
  readonly type: 'query-response';
  readonly lTime: number;
  readonly id: number;
  readonly from: string;
  /** 1 is an ack, 0 an answer. */
  readonly flags: number;
  readonly payload: Uint8Array;
}

/** A response sent over a third member, in case the direct way loses it. */
export interface Relay {
  readonly type: 'relay';
  readonly destination: Endpoint;
  readonly destinationName: string;
  readonly response: QueryResponse;
  /** The inner message as received, passed on unchanged. */
  readonly inner?: Uint8Array;
}

export type SerfMessage = LeaveIntent | JoinIntent | UserEventMessage | QueryMessage | QueryResponse | Relay;

/** All events of one Lamport time. */
export interface EventSlot {
  readonly lTime: number;
  readonly events: readonly { readonly name: string; readonly payload: Uint8Array }[];
}

/** What the upper layer adds to a push/pull. */
export interface SerfState {
  readonly lTime: number;
  readonly eventLTime: number;
  readonly queryLTime: number;
  readonly statusLTimes: ReadonlyMap<string, number>;
  readonly leftMembers: readonly string[];
  readonly events: readonly (EventSlot | undefined)[];
}

/** Everything one side of a push/pull says. */
export interface PushPullState {
  readonly join: boolean;
  readonly nodes: readonly NodeRow[];
  /** Absent when the peer sent none; the upper layer then merges nothing. */
  readonly serf?: SerfState;
}

export type Tags = ReadonlyMap<string, string>;
