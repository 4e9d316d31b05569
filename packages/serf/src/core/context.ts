import type { Random } from '@dcache/base';
import type { BroadcastQueue } from './broadcasts.js';
import type { Timing } from './config.js';
import type { EffectSink } from './effects.js';
import type { Awareness } from './lifeguard.js';
import type { MemberTable, NodeRecord } from './members.js';
import type { Alive, Coordinate, SerfMessage, SwimMessage, Tags } from './message.js';
import type { Timers } from './timers.js';

/** What the core must know about bytes, without knowing the bytes: the wire's codec behind a small interface. */
export interface MessageCodec {
  /** Bytes of the message inside a packet, its type bytes included. */
  sizeOf(message: SwimMessage): number;
  encodeTags(tags: Tags): Uint8Array;
  /** The tags a member announced; what is not a tag map is taken as the value of the tag `role`. */
  decodeTags(meta: Uint8Array): Tags;
}

/** What the lower layer tells the upper one. */
export interface SwimDelegate {
  onAlive(record: NodeRecord): void;
  onUpdate(record: NodeRecord): void;
  onDead(record: NodeRecord): void;
  onConflict(existing: NodeRecord, other: Alive): void;
  onUser(body: SerfMessage, raw: Uint8Array | undefined): void;
  /** A direct ack within the probe's timeout. */
  onRoundTrip(record: NodeRecord, rttMs: number, coordinate: Coordinate): void;
  /** The coordinate that this member's acks carry. */
  ownCoordinate(): Coordinate | undefined;
  /** Fills what is left of a packet with the upper layer's messages. */
  takeBroadcasts(into: SwimMessage[], budgetBytes: number, overheadBytes: number, maxMessages: number): void;
  readonly hasBroadcasts: boolean;
}

/** Counts of things that happened, for `stats()`. */
export interface SwimCounters {
  probes: number;
  probesFailed: number;
  suspicionsRaised: number;
  suspicionsExpired: number;
  /** Suspicions whose accused answered a last question after all. */
  suspicionsHeld: number;
  refutes: number;
  /** Told a member that the one it asked us about does not answer us either. */
  nacks: number;
  stalls: number;
  claimsRefused: number;
}

/** The lower layer's parts share this. */
export interface SwimContext {
  /** What time it is. */
  readonly nowMs: number;
  readonly self: NodeRecord;
  readonly timing: Timing;
  /** Bytes that encryption and a label add to a packet. */
  readonly packetOverheadBytes: () => number;
  readonly random: Random;
  readonly timers: Timers;
  readonly table: MemberTable;
  readonly awareness: Awareness;
  readonly queue: BroadcastQueue;
  readonly effects: EffectSink;
  readonly codec: MessageCodec;
  readonly delegate: SwimDelegate;
  readonly counters: SwimCounters;
  /** Exactly the members whose state is suspect. */
  readonly suspects: Set<NodeRecord>;
  leaving: boolean;
}

/** Bytes a part costs in a compound beyond itself. */
export const compoundPartBytes = 2;
/** Bytes of a checksum and its type. */
export const checksumBytes = 5;
/** Bytes of a compound's own header. */
export const compoundHeaderBytes = 2;
/** More parts break the parser of Serf 0.9.4, which computes their lengths' size in eight bits. */
export const maxCompoundParts = 127;
