import { ByteReader, ByteWriter } from '@dcache/base';
import { EntryType, type NodeId, noBytes } from './message.js';

// Append only: these numbers are the protocol.
export const ConfChangeType = {
  /** Adds a voter, or makes a learner one. */
  addNode: 0,
  removeNode: 1,
  /** Nothing for Raft: a way to pass `context` through the log. */
  updateNode: 2,
  /** Adds a learner, or makes a voter one. */
  addLearner: 3,
} as const;
export type ConfChangeType = (typeof ConfChangeType)[keyof typeof ConfChangeType];

// Append only: these numbers are the protocol.
export const Transition = {
  /** One change is made at once, several by a joint configuration that is left by itself. */
  auto: 0,
  /** Through a joint configuration that is left by itself. */
  jointImplicit: 1,
  /** Through a joint configuration that is left when an empty `ConfChangeV2` is proposed. */
  jointExplicit: 2,
} as const;
export type Transition = (typeof Transition)[keyof typeof Transition];

/** One step of a change. */
export interface ConfChangeSingle {
  readonly type: ConfChangeType;
  /** 0 is ignored: a leader blanks out a change this way. */
  readonly nodeId: NodeId;
}

/** One change of one member, made at once. (Thesis §4.1) */
interface ConfChangeV1 extends ConfChangeSingle {
  /** Opaque to Raft. */
  readonly context?: Uint8Array;
}

/** Any change of the members. Without changes and with `auto` it leaves a joint configuration. (Thesis §4.3) */
export interface ConfChangeV2 {
  /** Default auto. */
  readonly transition?: Transition;
  readonly changes: readonly ConfChangeSingle[];
  /** Opaque to Raft. */
  readonly context?: Uint8Array;
}

export type ConfChange = ConfChangeV1 | ConfChangeV2;

/** The same change as a `ConfChangeV2`. */
export function asConfChangeV2(change: ConfChange): ConfChangeV2 {
  if ('changes' in change) return change;
  const changes = [{ type: change.type, nodeId: change.nodeId }];
  return change.context === undefined ? { changes } : { changes, context: change.context };
}

/** Which entry type a change travels as. */
export function confChangeEntryType(change: ConfChange): EntryType {
  return 'changes' in change ? EntryType.confChangeV2 : EntryType.confChange;
}

/** Whether the change asks to end a joint configuration. */
export function leavesJoint(change: ConfChangeV2): boolean {
  return change.changes.length === 0 && (change.transition ?? Transition.auto) === Transition.auto;
}

/** How the change enters a joint configuration, or undefined when it is simple. */
export function entersJoint(change: ConfChangeV2): { readonly autoLeave: boolean } | undefined {
  const transition = change.transition ?? Transition.auto;
  if (transition === Transition.auto && change.changes.length <= 1) return undefined;
  return { autoLeave: transition !== Transition.jointExplicit };
}

// The bytes are those of etcd's raftpb.ConfChange and ConfChangeV2 (protobuf), so that they can be read with any tool:
//   V1: 0x10 type, 0x18 node id, [0x22 length context]
//   V2: 0x08 transition, { 0x12 length { 0x08 type, 0x10 node id } }*, [0x1a length context]
// Integers are varints. Fields that we do not know are an error, not skipped: a change must be understood to be made.

/** `data` of the entry that carries the change. */
export function encodeConfChange(change: ConfChange): Uint8Array {
  const writer = new ByteWriter(32);
  if ('changes' in change) {
    writer.u8(0x08).varint(change.transition ?? Transition.auto);
    for (const single of change.changes) {
      const inner = new ByteWriter(16).u8(0x08).varint(single.type).u8(0x10).varint(single.nodeId);
      writer.u8(0x12).bytes(inner.finish());
    }
    if (change.context !== undefined && change.context.length > 0) writer.u8(0x1a).bytes(change.context);
  } else {
    writer.u8(0x10).varint(change.type).u8(0x18).varint(change.nodeId);
    if (change.context !== undefined && change.context.length > 0) writer.u8(0x22).bytes(change.context);
  }
  return writer.copy();
}

/** The change in `data`, or undefined where the bytes are none. Never throws: the bytes may be a peer's. */
export function decodeConfChange(type: EntryType, data: Uint8Array): ConfChange | undefined {
  try {
    if (type === EntryType.confChange) return decodeV1(new ByteReader(data));
    if (type === EntryType.confChangeV2) return decodeV2(new ByteReader(data));
  } catch {
    // Cut short or malformed: the caller decides what that means.
  }
  return undefined;
}

function decodeV1(reader: ByteReader): ConfChangeV1 | undefined {
  let type: ConfChangeType | undefined = ConfChangeType.addNode;
  let nodeId: NodeId = 0;
  let context = noBytes;
  while (reader.remaining > 0) {
    const tag = reader.u8();
    if (tag === 0x10) type = knownType(reader.varint());
    else if (tag === 0x18) nodeId = reader.varint();
    else if (tag === 0x22) context = reader.bytes().slice();
    else return undefined;
  }
  if (type === undefined) return undefined;
  return context.length > 0 ? { type, nodeId, context } : { type, nodeId };
}

function decodeV2(reader: ByteReader): ConfChangeV2 | undefined {
  let transition = 0;
  const changes: ConfChangeSingle[] = [];
  let context = noBytes;
  while (reader.remaining > 0) {
    const tag = reader.u8();
    if (tag === 0x08) transition = reader.varint();
    else if (tag === 0x12) {
      const single = decodeSingle(new ByteReader(reader.bytes()));
      if (single === undefined) return undefined;
      changes.push(single);
    } else if (tag === 0x1a) context = reader.bytes().slice();
    else return undefined;
  }
  if (
    transition !== Transition.auto &&
    transition !== Transition.jointImplicit &&
    transition !== Transition.jointExplicit
  )
    return undefined;
  return context.length > 0 ? { transition, changes, context } : { transition, changes };
}

function decodeSingle(reader: ByteReader): ConfChangeSingle | undefined {
  let type: ConfChangeType | undefined = ConfChangeType.addNode;
  let nodeId: NodeId = 0;
  while (reader.remaining > 0) {
    const tag = reader.u8();
    if (tag === 0x08) type = knownType(reader.varint());
    else if (tag === 0x10) nodeId = reader.varint();
    else return undefined;
  }
  return type === undefined ? undefined : { type, nodeId };
}

function knownType(value: number): ConfChangeType | undefined {
  return value >= ConfChangeType.addNode && value <= ConfChangeType.addLearner ? (value as ConfChangeType) : undefined;
}
