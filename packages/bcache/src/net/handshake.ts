import { createHash, createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import { ByteReader, ByteWriter, concatBytes, utf8 } from '@dcache/base';
import { CacheError } from '../errors.js';

/**
 * Who dials says hello; who listens answers with a proof that it has the key; who dialled proves the same. Both proofs
 * are over all that was said, fresh random numbers of both sides among it, so neither can be used again.
 *
 * ```
 * hello    text 'bcache', u8 version, text cluster, text node, text incarnation, bytes nonce 16, bytes key id 0 or 8
 * answer   u8 0, text node, text incarnation, bytes nonce 16, bytes proof 0 or 32
 *          u8 1, text reason
 * proof    bytes proof 0 or 32
 * ```
 *
 * Messages then flow from who dialled to who listens; with a key each is sealed under a key of this stream.
 */
export interface Identity {
  readonly cluster: string;
  readonly node: string;
  readonly incarnation: string;
  /** Keys of 16 bytes or more, the one to send with first; none: streams are open. */
  readonly keys: () => readonly Uint8Array[];
}

export interface Hello {
  readonly node: string;
  readonly incarnation: string;
  readonly bytes: Uint8Array;
  readonly nonce: Uint8Array;
  readonly key: Uint8Array | undefined;
}

const magic = 'bcache';
const version = 1;
const nonceBytes = 16;

export function writeHello(own: Identity, nonce: Uint8Array): { bytes: Uint8Array; key: Uint8Array | undefined } {
  const key = own.keys()[0];
  const bytes = new ByteWriter()
    .text(magic)
    .u8(version)
    .text(own.cluster)
    .text(own.node)
    .text(own.incarnation)
    .bytes(nonce)
    .bytes(key === undefined ? new Uint8Array(0) : keyId(key))
    .copy();
  return { bytes, key };
}

/** Throws a `CacheError` that says why this peer is not one of ours; the reason is for the peer too. */
export function readHello(own: Identity, bytes: Uint8Array): Hello {
  const reader = new ByteReader(bytes);
  if (reader.text() !== magic) throw new CacheError('handshake-refused', 'it does not speak bcache');
  const theirs = reader.u8();
  if (theirs !== version) throw refusal(`it speaks version ${theirs} of the protocol, this node version ${version}`);
  const cluster = reader.text();
  const node = reader.text();
  const incarnation = reader.text();
  const nonce = reader.bytes();
  const id = reader.bytes();
  reader.end();
  if (cluster !== own.cluster) throw refusal(`it is of cluster '${cluster}', this node of '${own.cluster}'`);
  if (node === own.node)
    throw new CacheError('duplicate-id', `it has the id '${node}' of this node; ids have to differ`);
  if (nonce.length !== nonceBytes) throw refusal(`its nonce has ${nonce.length} bytes`);
  const keys = own.keys();
  if (keys.length === 0 && id.length > 0) throw refusal('it has a key, this node has none');
  const key = keys.find((candidate) => sameBytes(keyId(candidate), id));
  if (keys.length > 0 && key === undefined) throw refusal(id.length === 0 ? 'it has no key' : 'it has another key');
  return { node, incarnation, bytes, nonce, key };
}

export function writeAnswer(own: Identity, hello: Hello, nonce: Uint8Array): Uint8Array {
  const proof = hello.key === undefined ? noProof : prove(hello.key, 'server', hello.bytes, own.node, nonce);
  return new ByteWriter().u8(0).text(own.node).text(own.incarnation).bytes(nonce).bytes(proof).copy();
}

export function writeRefusal(reason: string): Uint8Array {
  return new ByteWriter().u8(1).text(reason).copy();
}

/** Checks the answer; returns the proof to send and the key of the stream. Throws a `CacheError`. */
export function readAnswer(
  expectedNode: string,
  hello: { readonly bytes: Uint8Array; readonly key: Uint8Array | undefined; readonly nonce: Uint8Array },
  bytes: Uint8Array,
): { readonly proof: Uint8Array; readonly streamKey: Buffer | undefined } {
  const reader = new ByteReader(bytes);
  if (reader.u8() !== 0) throw refusal(`it refused this node: ${reader.text().slice(0, 200)}`);
  const node = reader.text();
  reader.text();
  const nonce = reader.bytes();
  const proof = reader.bytes();
  reader.end();
  if (node !== expectedNode) throw refusal(`'${node}' answered where '${expectedNode}' was dialled`);
  if (hello.key === undefined) return { proof: noProof, streamKey: undefined };
  if (!sameBytes(proof, prove(hello.key, 'server', hello.bytes, node, nonce))) throw refusal('it has not the key');
  return {
    proof: prove(hello.key, 'client', hello.bytes, node, nonce),
    streamKey: streamKey(hello.key, hello.nonce, nonce),
  };
}

/** Checks the proof of who dialled; returns the key of the stream. Throws a `CacheError`. */
export function readProof(own: Identity, hello: Hello, nonce: Uint8Array, bytes: Uint8Array): Buffer | undefined {
  if (hello.key === undefined) return undefined;
  if (!sameBytes(bytes, prove(hello.key, 'client', hello.bytes, own.node, nonce))) throw refusal('it has not the key');
  return streamKey(hello.key, hello.nonce, nonce);
}

const noProof = new Uint8Array(0);

function prove(key: Uint8Array, side: string, hello: Uint8Array, server: string, nonce: Uint8Array): Uint8Array {
  const said = concatBytes([utf8(`${side}\0`), new ByteWriter().bytes(hello).text(server).bytes(nonce).copy()]);
  return createHmac('sha256', key).update(said).digest();
}

function streamKey(key: Uint8Array, clientNonce: Uint8Array, serverNonce: Uint8Array): Buffer {
  return Buffer.from(hkdfSync('sha256', key, concatBytes([clientNonce, serverNonce]), 'bcache stream', 32));
}

/** Tells which key is meant, and nothing of it. */
function keyId(key: Uint8Array): Uint8Array {
  return createHash('sha256').update('bcache key id').update(key).digest().subarray(0, 8);
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

function refusal(reason: string): CacheError {
  return new CacheError('handshake-refused', reason);
}
