import { connect, type Socket } from 'node:net';
import { concatBytes } from '@dcache/base';
import type { Tls } from '../security/tls.js';
import type { Address } from '../settings/address.js';
import {
  answerHello,
  decodeHello,
  decodeHelloAnswer,
  encodeAnswerFields,
  encodeHello,
  encodeHelloAnswer,
  featureLevel,
  type Hello,
  type HelloAnswer,
  HelloStatus,
  peerPreface,
  peerProtocol,
  type RefuserGossip,
  takeHandshake,
  withLength,
} from './handshake.js';
import { isProof, newNonce, type PeerKeys, prove } from './peer-proof.js';

/** Who this node is to its peers. */
export interface PeerIdentity {
  readonly id: number;
  readonly name: string;
  /** The cluster's id, undefined before this node has found or founded one. */
  readonly cluster: string | undefined;
  /**
   * The port of its gossip, for those whom it refuses because they are of another cluster; they know the host. 0 or
   * missing where it is not to be met.
   */
  readonly gossipPort?: number;
}

/** How long either side waits for the other's part of the handshake. */
const handshakeTimeoutMs = 5_000;

const closedEarly = 'the connection closed during the handshake';

/** How peers prove that they are peers; without any of it only the cluster's id is checked. */
export interface PeerSecurity {
  /** Keys that every node shares, the one to prove with first. */
  readonly keys?: (() => PeerKeys | undefined) | undefined;
  readonly tls?: Pick<Tls, 'dial' | 'peerFault' | 'provesNames'> | undefined;
  /** The name of the node that a Raft id belongs to, as far as is known. */
  readonly nameOf?: (id: number) => string | undefined;
}

/** The other side has answered, and takes this node for no peer of its own. */
export class PeerRefusal extends Error {
  readonly status: HelloStatus;
  /** Where its gossip is, and who it is there; undefined where it did not tell. */
  readonly gossip: RefuserGossip | undefined;

  constructor({ status, message }: Pick<HelloAnswer, 'status' | 'message'>, gossip: RefuserGossip | undefined) {
    super(`refused: ${message}`);
    this.status = status;
    this.gossip = gossip;
  }

  /** Whether a node lives there that belongs to another cluster, or to none yet. */
  get isStranger(): boolean {
    return areStrangers(this.status);
  }
}

/**
 * Dials a peer and introduces this node. Resolves with the socket, paused and ready for frames; rejects with the reason,
 * which may be `signal`.
 */
export async function dialPeer(
  address: Address,
  to: number,
  self: PeerIdentity,
  signal?: AbortSignal,
  security: PeerSecurity = {},
): Promise<Socket> {
  const { cluster } = self;
  if (cluster === undefined) throw new Error('this node has not joined a cluster yet');
  const socket = security.tls
    ? security.tls.dial(address, security.nameOf?.(to))
    : connect({ host: address.host, port: address.port, noDelay: true, keepAlive: true });
  socket.setNoDelay(true);
  socket.on('error', ignore);
  const abort = (): void => void socket.destroy(new Error('given up'));
  signal?.addEventListener('abort', abort, { once: true });
  try {
    await introduce(socket, to, { ...self, cluster }, security.keys?.());
    return socket;
  } catch (error) {
    socket.destroy();
    throw dialFault(error as NodeJS.ErrnoException, security.tls !== undefined);
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

/** What the other side probably is, where its way to fail tells. */
function dialFault(error: NodeJS.ErrnoException, isSecure: boolean): Error {
  const { message, code = '' } = error;
  if (isSecure && /^ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG)$/.test(code))
    return new Error(`${message}: the other side speaks no TLS; all nodes need the TLS flags, or none`, {
      cause: error,
    });
  if (isSecure && /^ERR_SSL_.*ALERT/.test(code))
    return new Error(
      `${message}: the other side does not take the certificate of this node (--peer-tls-cert-file); it must be of the CA that the other was given`,
      { cause: error },
    );
  if (!isSecure && message === closedEarly)
    return new Error(`${message}: it may speak TLS, and this node was started without`, { cause: error });
  return error;
}

async function introduce(
  socket: Socket,
  to: number,
  self: PeerIdentity & { readonly cluster: string },
  keys: PeerKeys | undefined,
): Promise<void> {
  const nonce = newNonce();
  const hello = encodeHello({
    protocolMin: peerProtocol.min,
    protocolMax: peerProtocol.max,
    feature: featureLevel,
    cluster: self.cluster,
    from: self.id,
    to,
    name: self.name,
    nonce,
  });
  socket.write(hello);
  const body = await readHandshake(socket, 0);
  const { answer, fields, proof, gossip } = decodeHelloAnswer(body);
  if (answer.status !== HelloStatus.ok) throw new PeerRefusal(answer, gossip);
  if (keys === undefined) {
    if (proof.length > 0) throw new Error('the peer has a Serf key and this node has none; give it --encrypt');
    return;
  }
  const said = hello.subarray(peerPreface.length + 2);
  if (!isProof(proof, keys, 'answer', nonce, answer.nonce, concatBytes([said, fields])))
    throw new Error('the peer does not know the Serf key of this node');
  socket.write(withLength(prove(keys, 'dial', nonce, answer.nonce, concatBytes([said, body]))));
}

/** Who dialled, as it says, and why it was refused, where it was. */
export interface Accepted {
  readonly hello: Hello;
  readonly refusal: string | undefined;
}

/**
 * Answers a peer that dialled. Where it is refused it is told why, and the socket is ended; rejects where the handshake
 * comes to no end, or the other side does not prove itself.
 */
export async function acceptPeer(socket: Socket, self: PeerIdentity, security: PeerSecurity = {}): Promise<Accepted> {
  // A peer may go away at any moment, also between its refusal and the end of this socket.
  socket.on('error', ignore);
  try {
    const said = await readHandshake(socket, peerPreface.length);
    const hello = decodeHello(said);
    const fault = security.tls?.peerFault(socket, hello.name);
    const answer = fault === undefined ? answerHello(hello, self) : notPeer(self, fault);
    const keys = security.keys?.();
    if (answer.status !== HelloStatus.ok || keys === undefined) {
      const { name, gossipPort: port = 0 } = self;
      const gossip = areStrangers(answer.status) && port > 0 ? { port, name } : undefined;
      socket.write(encodeHelloAnswer(encodeAnswerFields(answer), new Uint8Array(), gossip));
      if (answer.status === HelloStatus.ok) return { hello, refusal: undefined };
      // Nobody reads this socket any more, so nobody would see the other side end it.
      socket.destroySoon();
      return { hello, refusal: answer.message };
    }
    await demandProof(socket, said, hello, { ...answer, nonce: newNonce() }, keys);
    return { hello, refusal: undefined };
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** Proves this side, and rejects unless the other proves itself. */
async function demandProof(
  socket: Socket,
  said: Uint8Array,
  hello: Hello,
  answer: HelloAnswer,
  keys: PeerKeys,
): Promise<void> {
  const fields = encodeAnswerFields(answer);
  const mine = prove(keys, 'answer', hello.nonce, answer.nonce, concatBytes([said, fields]));
  const whole = encodeHelloAnswer(fields, mine);
  socket.write(whole);
  const theirs = await readHandshake(socket, 0);
  if (!isProof(theirs, keys, 'dial', hello.nonce, answer.nonce, concatBytes([said, whole.subarray(2)])))
    throw new Error(`${hello.name} does not know the Serf key of this node`);
}

function notPeer(self: PeerIdentity, fault: string): HelloAnswer {
  return {
    status: HelloStatus.notPeer,
    protocol: 0,
    feature: featureLevel,
    from: self.id,
    message: fault,
    nonce: new Uint8Array(),
  };
}

/** The other side's part of the handshake; what follows it is put back into the socket, which is left paused. */
function readHandshake(socket: Socket, prefaceBytes: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    let held = Buffer.alloc(0);
    const done = (settle: () => void): void => {
      clearTimeout(timer);
      socket.off('readable', look).off('error', fail).off('end', closed).off('close', closed);
      settle();
    };
    const fail = (error: Error): void => done(() => reject(error));
    const closed = (): void => fail(new Error(closedEarly));
    const timer = setTimeout(() => fail(new Error(`no handshake within ${handshakeTimeoutMs} ms`)), handshakeTimeoutMs);
    const look = (): void => {
      const chunk = socket.read() as Buffer | null;
      if (chunk === null) return;
      held = Buffer.concat([held, chunk]);
      try {
        const taken = takeHandshake(held, prefaceBytes);
        if (!taken) return;
        done(() => {
          socket.pause();
          if (taken.rest.length > 0) socket.unshift(taken.rest);
          resolve(taken.body);
        });
      } catch (error) {
        fail(error as Error);
      }
    };
    socket.on('readable', look).on('error', fail).on('end', closed).on('close', closed);
  });
}

/** Whether who says so belongs to another cluster than the one that it answers, or to none yet. */
function areStrangers(status: HelloStatus): boolean {
  return status === HelloStatus.foreignCluster || status === HelloStatus.noCluster;
}

/** For errors that the `close` that follows them tells as well. */
function ignore(): void {}
