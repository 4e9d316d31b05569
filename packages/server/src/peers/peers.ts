import type { Socket } from 'node:net';
import type { Clock, Logger } from '@dcache/base';
import {
  type Message,
  type NodeId,
  PeerConnection,
  type PeerConnectionOptions,
  RaftError,
  type SnapshotAck,
  type SnapshotPiece,
  type Transport,
  type TransportHandler,
} from '@dcache/raft';
import { type Address, formatAddress, parseAddress } from '../settings/address.js';
import type { FrameSender } from './forwarder.js';
import { acceptPeer, dialPeer, type PeerIdentity, PeerRefusal, type PeerSecurity } from './peer-socket.js';
import { Repeats } from './repeats.js';

export interface PeersOptions {
  /** Who this node is; asked anew at each handshake, because the cluster's id may be learnt later. */
  readonly identity: () => PeerIdentity;
  /** Where a Raft id lives, as far as is known. */
  readonly addressOf: (id: NodeId) => Address | undefined;
  /** A frame that is not Raft's own; `reply` sends one back over the same connection. */
  readonly onFrame: (from: NodeId, kind: number, payload: Uint8Array, reply: Reply) => void;
  /** A connection to `id` is open: both sides have proved who they are. */
  readonly onLinkUp?: (id: NodeId) => void;
  /** A connection to `id` ended: frames on it may or may not have arrived. */
  readonly onLinkDown: (id: NodeId) => void;
  /**
   * Where `id` should live a node of another cluster answers, or one that belongs to none yet; `stranger` is who it says
   * that it is and where its gossip is, where it tells. At every dial.
   */
  readonly onStranger?: (id: NodeId, stranger: Stranger | undefined) => void;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly security?: PeerSecurity;
  readonly connection?: PeerConnectionOptions;
}

/** Who answers where a member was, and where its gossip is. */
export interface Stranger extends Address {
  /** Empty where it does not tell. */
  readonly name: string;
}

/** Sends a frame back; false where the connection is gone or full. */
export type Reply = (kind: number, payload: Uint8Array) => boolean;

/** The first wait before a peer is dialled again; it doubles up to the second. */
const firstRetryMs = 50;
const lastRetryMs = 1_000;

/** Connections of one peer at once: two where both dialled, and some that are half-open and not yet given up. */
const maxLinks = 4;

/** Peers whose dials are remembered before those of the past are looked for. */
const maxDials = 64;

interface Dial {
  isUnderWay: boolean;
  retryMs: number;
  notBeforeMs: number;
  lastFailure: string;
}

/**
 * The connections between nodes: Raft's transport, and frames for clients' forwarded writes over the same sockets. A
 * connection serves both directions, whoever dialled; a peer is dialled when there is something to send and no connection.
 */
export class Peers implements Transport, FrameSender {
  readonly #options: PeersOptions;
  /** Open connections by Raft id, the newest last. */
  readonly #links = new Map<NodeId, PeerConnection[]>();
  /** By what name the other side came, or had to prove to have; missing where it was dialled without such a proof. */
  readonly #names = new WeakMap<PeerConnection, string>();
  /** Where it was dialled, as `host:port`; missing where the other side dialled. */
  readonly #places = new WeakMap<PeerConnection, string>();
  readonly #dials = new Map<NodeId, Dial>();
  readonly #refusals: Repeats;
  /** Ends the dials that are under way. */
  readonly #stopping = new AbortController();
  #handler: TransportHandler | undefined;
  #isStopped = false;

  constructor(options: PeersOptions) {
    this.#options = options;
    this.#refusals = new Repeats(options.clock);
  }

  get dialsUnderWay(): number {
    let count = 0;
    for (const { isUnderWay } of this.#dials.values()) if (isUnderWay) count++;
    return count;
  }

  start(handler: TransportHandler): void {
    this.#handler = handler;
  }

  send(to: NodeId, messages: readonly Message[]): void {
    const link = this.#linkTo(to);
    if (link) link.send(messages);
    else this.#handler?.onUnreachable(to);
  }

  sendSnapshotPiece(to: NodeId, piece: SnapshotPiece): boolean {
    return this.#linkTo(to)?.sendSnapshotPiece(piece) ?? false;
  }

  sendSnapshotAck(to: NodeId, ack: SnapshotAck): boolean {
    return this.#linkTo(to)?.sendSnapshotAck(ack) ?? false;
  }

  sendFrame(to: NodeId, kind: number, payload: Uint8Array): 'sent' | 'busy' | 'no-link' {
    const link = this.#linkTo(to);
    return link ? sendOn(link, kind, payload) : 'no-link';
  }

  /**
   * Whether a connection to `id` is open on which it has proved to be the node of that name, as far as peers prove
   * names here; with `rpcAddr`, whether one is that was dialled there. Dials it where there is none.
   */
  reaches(id: NodeId, name: string, rpcAddr?: string): boolean {
    const open = (this.#links.get(id) ?? []).filter((link) => link.isOpen);
    const named = open.filter((link) => (this.#names.get(link) ?? name) === name);
    const place = rpcAddr === undefined ? undefined : placeOf(parseAddress(rpcAddr));
    const isThere = (link: PeerConnection): boolean => place !== undefined && this.#places.get(link) === place;
    if (named.some((link) => rpcAddr === undefined || isThere(link))) return true;
    // Never beside an open connection but where that place is dialled indeed: each try would open one more.
    if (open.length === 0 || (place !== undefined && placeOf(this.#options.addressOf(id)) === place)) this.#dial(id);
    return false;
  }

  /** Takes over a socket whose first bytes are the peer preface. */
  accept(socket: Socket, onProven: () => void = () => {}): void {
    acceptPeer(socket, this.#options.identity(), this.#options.security).then(
      ({ hello, refusal }) => {
        if (refusal !== undefined) {
          this.#sayRefused(socket, `${hello.name.slice(0, 64)}: ${refusal}`);
          return;
        }
        onProven();
        this.#open(hello.from, socket, hello.name);
      },
      (error: Error) => {
        this.#sayRefused(socket, error.message);
        this.#options.logger.debug({ err: error }, 'a handshake of a peer failed');
      },
    );
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#stopping.abort();
    for (const links of [...this.#links.values()]) for (const link of [...links]) link.close();
  }

  #sayRefused({ remoteAddress }: Socket, fault: string): void {
    if (this.#refusals.isNew(`${remoteAddress} ${fault}`))
      this.#options.logger.warn({ from: remoteAddress, fault }, 'a peer was refused');
  }

  #linkTo(id: NodeId): PeerConnection | undefined {
    const link = this.#links.get(id)?.findLast((one) => one.isOpen);
    if (!link) this.#dial(id);
    return link;
  }

  #dial(id: NodeId): void {
    const { clock, addressOf, identity, logger, security } = this.#options;
    if (this.#dials.size > maxDials) this.#forgetDials();
    const dial = this.#dials.get(id) ?? { isUnderWay: false, retryMs: firstRetryMs, notBeforeMs: 0, lastFailure: '' };
    this.#dials.set(id, dial);
    if (this.#isStopped || dial.isUnderWay || clock.monotonicMs() < dial.notBeforeMs) return;
    const address = addressOf(id);
    if (!address) return;
    dial.isUnderWay = true;
    const name = security?.tls?.provesNames ? security.nameOf?.(id) : undefined;
    dialPeer(address, id, identity(), this.#stopping.signal, security).then(
      (socket) => {
        dial.isUnderWay = false;
        dial.retryMs = firstRetryMs;
        dial.lastFailure = '';
        if (this.#isStopped) socket.destroy();
        else this.#open(id, socket, name, placeOf(address));
      },
      (error: Error) => {
        dial.isUnderWay = false;
        if (this.#isStopped) return;
        dial.notBeforeMs = clock.monotonicMs() + dial.retryMs;
        dial.retryMs = Math.min(lastRetryMs, dial.retryMs * 2);
        // A peer that stays away is said once, not at every try.
        const at = { peer: id, address: `${address.host}:${address.port}` };
        if (dial.lastFailure !== error.message)
          logger.warn({ ...at, fault: error.message }, 'a peer cannot be reached');
        dial.lastFailure = error.message;
        logger.debug({ ...at, err: error }, 'a dial of a peer failed');
        if (!(error instanceof PeerRefusal && error.isStranger)) return;
        this.#options.onStranger?.(id, error.gossip && { ...error.gossip, host: address.host });
      },
    );
  }

  /** Forgets those that nobody has asked for since their last pause: each start of a node in memory has a new id. */
  #forgetDials(): void {
    const oldMs = this.#options.clock.monotonicMs() - 60 * lastRetryMs;
    for (const [id, { isUnderWay, notBeforeMs }] of this.#dials)
      if (!isUnderWay && notBeforeMs < oldMs) this.#dials.delete(id);
  }

  #open(id: NodeId, socket: Socket, name: string | undefined, place?: string): void {
    const handler = this.#handler;
    if (!handler || this.#isStopped) {
      socket.destroy();
      return;
    }
    const link: PeerConnection = new PeerConnection(
      socket,
      {
        onMessages: (messages) => handler.onMessages(id, messages),
        onSnapshotPiece: (piece) => handler.onSnapshotPiece(id, piece),
        onSnapshotAck: (ack) => handler.onSnapshotAck(id, ack),
        onApplicationFrame: (kind, payload) =>
          this.#options.onFrame(id, kind, payload, (replyKind, bytes) => sendOn(link, replyKind, bytes) === 'sent'),
        onDropped: () => handler.onUnreachable(id),
        onClose: (error) => this.#closed(id, link, error),
      },
      { clock: this.#options.clock, maxOutboundBytes: 64 * 1_048_576, ...this.#options.connection },
    );
    if (name !== undefined) this.#names.set(link, name);
    if (place !== undefined) this.#places.set(link, place);
    const links = this.#links.get(id);
    if (links) links.push(link);
    else this.#links.set(id, [link]);
    if (links && links.length > maxLinks)
      links[0]!.destroy(new Error(`the peer has more than ${maxLinks} connections`));
    handler.onConnect(id);
    this.#options.onLinkUp?.(id);
  }

  #closed(id: NodeId, link: PeerConnection, error: Error | undefined): void {
    const links = this.#links.get(id);
    const at = links?.indexOf(link) ?? -1;
    if (!links || at === -1) return;
    links.splice(at, 1);
    if (links.length === 0) this.#links.delete(id);
    this.#options.logger.debug({ peer: id, err: error }, 'a peer connection ended');
    this.#options.onLinkDown(id);
    if (links.length === 0) this.#handler?.onUnreachable(id);
  }
}

function placeOf(address: Address | undefined): string | undefined {
  return address && formatAddress(address.host, address.port);
}

function sendOn(link: PeerConnection, kind: number, payload: Uint8Array): 'sent' | 'busy' | 'no-link' {
  try {
    link.sendApplicationFrame(kind, payload);
    return 'sent';
  } catch (error) {
    if (error instanceof RaftError && error.code === 'stopped') return 'no-link';
    if (error instanceof RaftError && (error.code === 'busy' || error.code === 'too-large')) return 'busy';
    throw error;
  }
}
