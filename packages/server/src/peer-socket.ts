import { connect, type Socket } from 'node:net';
import type { Address } from './address.js';
import {
  answerHello,
  decodeHello,
  decodeHelloAnswer,
  encodeHello,
  encodeHelloAnswer,
  featureLevel,
  type Hello,
  HelloStatus,
  peerPreface,
  peerProtocol,
  takeHandshake,
} from './handshake.js';

/** Who this node is to its peers. */
export interface PeerIdentity {
  readonly id: number;
  readonly name: string;
  /** The cluster's id, undefined before this node has found or founded one. */
  readonly cluster: string | undefined;
}

/** How long either side waits for the other's part of the handshake. */
const handshakeTimeoutMs = 5_000;

/**
 * Dials a peer and introduces this node. Resolves with the socket, paused and ready for frames; rejects with the reason,
 * which may be `signal`.
 */
export async function dialPeer(
  address: Address,
  to: number,
  self: PeerIdentity,
  signal?: AbortSignal,
): Promise<Socket> {
  if (self.cluster === undefined) throw new Error('this node has not joined a cluster yet');
  const socket = connect({ host: address.host, port: address.port, noDelay: true, keepAlive: true });
  socket.on('error', ignore);
  const abort = (): void => void socket.destroy(new Error('given up'));
  signal?.addEventListener('abort', abort, { once: true });
  try {
    socket.write(
      encodeHello({
        protocolMin: peerProtocol.min,
        protocolMax: peerProtocol.max,
        feature: featureLevel,
        cluster: self.cluster,
        from: self.id,
        to,
        name: self.name,
      }),
    );
    const answer = decodeHelloAnswer(await readHandshake(socket, 0));
    if (answer.status !== HelloStatus.ok) throw new Error(`refused: ${answer.message}`);
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

/** Answers a peer that dialled. Resolves with who it is, or undefined where it was refused and the socket is ended. */
export async function acceptPeer(socket: Socket, self: PeerIdentity): Promise<Hello | undefined> {
  // A peer may go away at any moment, also between its refusal and the end of this socket.
  socket.on('error', ignore);
  try {
    const hello = decodeHello(await readHandshake(socket, peerPreface.length));
    const answer = answerHello(hello, self);
    socket.write(encodeHelloAnswer(answer));
    if (answer.status === HelloStatus.ok) return hello;
    // Nobody reads this socket any more, so nobody would see the other side end it.
    socket.destroySoon();
    return undefined;
  } catch (error) {
    socket.destroy();
    throw error;
  }
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
    const closed = (): void => fail(new Error('the connection closed during the handshake'));
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

/** For errors that the `close` that follows them tells as well. */
function ignore(): void {}
