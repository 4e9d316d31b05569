import { ByteReader, BytesError, ByteWriter, concatBytes, fromUtf8 } from '@dcache/base';

/*
 * How a peer connection begins, before its frames. The dialler speaks first:
 *
 *   preface   dc 'PEER' 0d 0a 00     (8 bytes; the first is no letter, no TLS record and no RESP type)
 *   hello     length:u16 | protocolMin:u8 | protocolMax:u8 | feature:u16 | cluster:text | from:u64 | to:u64 | name:text
 *                        | nonce:bytes
 *   answer    length:u16 | status:u8 | protocol:u8 | feature:u16 | from:u64 | message:text | nonce:bytes | proof:bytes
 *                        | gossip:u16 | name:text    (only from who refuses and may be met: the port of its gossip, on the
 *                                                     same host, and its name)
 *   proof     length:u16 | proof                        (from the dialler, only where the answer has a proof)
 *
 * Where the nodes share a key, each side proves with both nonces that it knows it: see `peer-proof.ts`.
 *
 * `to` is the Raft id that the dialler believes lives there; another one refuses, because a node that lost its log came
 * back under a new id and must not be taken for the old one. A foreign cluster is always refused.
 */

export const peerPreface: Uint8Array = Uint8Array.of(0xdc, 0x50, 0x45, 0x45, 0x52, 0x0d, 0x0a, 0x00);

/** Versions of the peer protocol that this program speaks. */
export const peerProtocol = { min: 1, max: 1 } as const;
/** What this program could do if every member could; the cluster's level is the least of all. */
export const featureLevel = 1;

const maxHelloBytes = 1_024;
const maxNameBytes = 128;

export interface Hello {
  readonly protocolMin: number;
  readonly protocolMax: number;
  readonly feature: number;
  /** The cluster's id. */
  readonly cluster: string;
  /** The dialler's Raft id. */
  readonly from: number;
  /** Whom it wants to reach. */
  readonly to: number;
  /** The dialler's name. */
  readonly name: string;
  /** Fresh for each connection. */
  readonly nonce: Uint8Array;
}

// Append only: these numbers are the protocol.
export const HelloStatus = {
  ok: 0,
  foreignCluster: 1,
  otherNode: 2,
  protocol: 3,
  stopping: 4,
  noCluster: 5,
  notPeer: 6,
} as const;
export type HelloStatus = (typeof HelloStatus)[keyof typeof HelloStatus];

export interface HelloAnswer {
  readonly status: HelloStatus;
  /** The version both will speak; 0 where there is none. */
  readonly protocol: number;
  readonly feature: number;
  readonly from: number;
  /** Why it was refused. */
  readonly message: string;
  /** Fresh for each connection; empty where the answerer asks for no proof. */
  readonly nonce: Uint8Array;
}

/** Where who refuses has its gossip. */
export interface RefuserGossip {
  /** On the host that was dialled. */
  readonly port: number;
  /** The refuser's name; empty where it is of a version that does not tell. */
  readonly name: string;
}

export function encodeHello(hello: Hello): Uint8Array {
  const body = new ByteWriter(128)
    .u8(hello.protocolMin)
    .u8(hello.protocolMax)
    .u16(hello.feature)
    .text(hello.cluster)
    .u64(hello.from)
    .u64(hello.to)
    .text(hello.name)
    .bytes(hello.nonce)
    .finish();
  return concatBytes([peerPreface, withLength(body)]);
}

/** Throws a `BytesError`. What a later version adds at the end is not read. */
export function decodeHello(body: Uint8Array): Hello {
  const reader = new ByteReader(body);
  return {
    protocolMin: reader.u8(),
    protocolMax: reader.u8(),
    feature: reader.u16(),
    cluster: reader.text(),
    from: reader.u64(),
    to: reader.u64(),
    name: reader.text(),
    nonce: new Uint8Array(reader.bytes()),
  };
}

/** The answer's fields; what its proof is about. */
export function encodeAnswerFields(answer: HelloAnswer): Uint8Array {
  return new ByteWriter(64)
    .u8(answer.status)
    .u8(answer.protocol)
    .u16(answer.feature)
    .u64(answer.from)
    .text(answer.message)
    .bytes(answer.nonce)
    .copy();
}

/** A part of the handshake with its length in front. */
export function withLength(body: Uint8Array): Uint8Array {
  return concatBytes([new ByteWriter(2).u16(body.length).finish(), body]);
}

/** The whole answer; `proof` is empty where none is given. */
export function encodeHelloAnswer(fields: Uint8Array, proof: Uint8Array, gossip?: RefuserGossip): Uint8Array {
  const writer = new ByteWriter(fields.length + 40).raw(fields).bytes(proof);
  if (gossip) writer.u16(gossip.port).text(gossip.name);
  return withLength(writer.copy());
}

/**
 * Throws a `BytesError`. `fields` is what the proof is about; `gossip` is undefined where it was not told. What a later
 * version adds at the end is not read.
 */
export function decodeHelloAnswer(body: Uint8Array): {
  readonly answer: HelloAnswer;
  readonly fields: Uint8Array;
  readonly proof: Uint8Array;
  readonly gossip: RefuserGossip | undefined;
} {
  const reader = new ByteReader(body);
  const answer: HelloAnswer = {
    status: reader.u8() as HelloStatus,
    protocol: reader.u8(),
    feature: reader.u16(),
    from: reader.u64(),
    message: reader.text(),
    nonce: new Uint8Array(reader.bytes()),
  };
  const fields = body.slice(0, reader.offset);
  const proof = new Uint8Array(reader.bytes());
  return { answer, fields, proof, gossip: readGossip(reader) };
}

/** What earlier versions do not tell, or only in part. */
function readGossip(reader: ByteReader): RefuserGossip | undefined {
  if (reader.remaining === 0) return undefined;
  const port = reader.u16();
  const name = reader.remaining === 0 ? new Uint8Array() : reader.bytes();
  if (name.length > maxNameBytes) throw new BytesError(`a name of ${name.length} bytes; at most ${maxNameBytes}`);
  return port === 0 ? undefined : { port, name: fromUtf8(name) };
}

/** What a node says to a hello. */
export function answerHello(
  hello: Hello,
  self: { readonly id: number; readonly cluster: string | undefined },
): HelloAnswer {
  const answer = { protocol: 0, feature: featureLevel, from: self.id, nonce: new Uint8Array() };
  const protocol = Math.min(hello.protocolMax, peerProtocol.max);
  if (protocol < Math.max(hello.protocolMin, peerProtocol.min))
    return {
      ...answer,
      status: HelloStatus.protocol,
      message: `peer protocol ${hello.protocolMin} to ${hello.protocolMax} asked, ${peerProtocol.min} to ${peerProtocol.max} spoken`,
    };
  if (self.cluster === undefined)
    return { ...answer, status: HelloStatus.noCluster, message: 'this node has not joined a cluster yet' };
  if (hello.cluster !== self.cluster)
    return {
      ...answer,
      status: HelloStatus.foreignCluster,
      message: `this node belongs to cluster ${self.cluster}, not to ${hello.cluster}`,
    };
  if (hello.to !== self.id)
    return {
      ...answer,
      status: HelloStatus.otherNode,
      message: `this node's Raft id is ${self.id}, not ${hello.to}: it was started anew`,
    };
  return { ...answer, status: HelloStatus.ok, protocol, message: '' };
}

/**
 * Takes the body of a hello or an answer from the front of a stream that comes in pieces: undefined while it is not whole,
 * else the body and what follows it. `prefaceBytes` are skipped first. Throws a `BytesError` for one longer than 1 KiB.
 */
export function takeHandshake(
  bytes: Uint8Array,
  prefaceBytes: number,
): { readonly body: Uint8Array; readonly rest: Uint8Array } | undefined {
  if (bytes.length < prefaceBytes + 2) return undefined;
  const length = (bytes[prefaceBytes]! << 8) | bytes[prefaceBytes + 1]!;
  if (length > maxHelloBytes) throw new BytesError(`a handshake of ${length} bytes; at most ${maxHelloBytes}`);
  const end = prefaceBytes + 2 + length;
  if (bytes.length < end) return undefined;
  return { body: bytes.subarray(prefaceBytes + 2, end), rest: bytes.subarray(end) };
}
