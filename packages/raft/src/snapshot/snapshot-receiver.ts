import type { Clock } from '@dcache/base';
import type { NodeId, SnapshotMetadata } from '../core/message.js';
import { RaftError } from '../errors.js';
import type { SnapshotAck, SnapshotPiece } from './snapshot-frame.js';

type Begin = Extract<SnapshotPiece, { type: 'begin' }>;

export interface SnapshotReceiverOptions {
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly ack: (to: NodeId, ack: SnapshotAck) => void;
  /** Whether to take it; `have` when the state has it all already. */
  readonly judge: (from: NodeId, begin: Begin) => 'take' | 'have' | 'refuse';
  /**
   * Takes in the state; `chunks` rejects when the transfer is given up. Resolves when the snapshot is installed.
   */
  readonly install: (from: NodeId, begin: Begin, chunks: AsyncIterable<Uint8Array>) => Promise<void>;
}

/** Pieces held until the state machine takes them; a sender's window is smaller. */
const maxHeldPieces = 1024;

/**
 * Takes in one snapshot at a time, in order, as fast as `install` reads it: a piece is acknowledged when it was read, so
 * a slow state machine slows the sender. A sender that comes back after a broken connection goes on where it was.
 */
export class SnapshotReceiver {
  readonly #options: SnapshotReceiverOptions;
  #incoming: Incoming | undefined;
  /** Kept to answer a sender whose last ack was lost. */
  #finished: { readonly from: NodeId; readonly ack: SnapshotAck } | undefined;

  constructor(options: SnapshotReceiverOptions) {
    this.#options = options;
  }

  /** What is being taken in. */
  get current(): { readonly from: NodeId; readonly metadata: SnapshotMetadata } | undefined {
    return this.#incoming === undefined
      ? undefined
      : { from: this.#incoming.from, metadata: this.#incoming.begin.metadata };
  }

  onPiece(from: NodeId, piece: SnapshotPiece): void {
    const incoming = this.#incoming;
    if (incoming !== undefined && incoming.from === from && incoming.begin.transfer === piece.transfer) {
      if (!incoming.take(piece)) this.#ack(from, piece.transfer, incoming.taken, 'progress');
      return;
    }
    if (this.#finished?.from === from && this.#finished.ack.transfer === piece.transfer)
      this.#options.ack(from, this.#finished.ack);
    else if (piece.type !== 'begin') this.#ack(from, piece.transfer, 0, 'unknown');
    else this.#onBegin(from, piece);
  }

  #onBegin(from: NodeId, piece: Begin): void {
    const incoming = this.#incoming;
    const judgement = this.#options.judge(from, piece);
    if (judgement !== 'take') {
      this.#ack(from, piece.transfer, 0, judgement === 'have' ? 'done' : 'refused');
    } else if (incoming !== undefined) {
      // One state cannot take in two snapshots. A newer leader's, or a newer one of the same leader, replaces the old one
      // as soon as that has ended; its sender begins again until then.
      if (from === incoming.from || piece.term > incoming.begin.term)
        incoming.fail(new RaftError('aborted', 'another snapshot replaces this one'));
    } else {
      this.#begin(from, piece);
    }
  }

  /** Gives up a transfer that stands still. */
  tick(): void {
    const incoming = this.#incoming;
    if (incoming === undefined) return;
    if (this.#options.clock.monotonicMs() - incoming.heardMs >= this.#options.timeoutMs)
      incoming.fail(new RaftError('io', `no piece of the snapshot came for ${this.#options.timeoutMs} ms`));
  }

  /** Gives up. */
  abort(): void {
    this.#incoming?.fail(new RaftError('stopped', 'the node is stopping'));
  }

  #begin(from: NodeId, begin: Begin): void {
    const incoming = new Incoming(from, begin, this.#options.clock, (taken) =>
      this.#ack(from, begin.transfer, taken, 'progress'),
    );
    this.#incoming = incoming;
    // Rejections of `install` are the driver's to judge; here they only end the transfer.
    this.#options.install(from, begin, incoming).then(
      () => this.#finish(incoming, 'done'),
      () => this.#finish(incoming, 'refused'),
    );
    this.#ack(from, begin.transfer, 1, 'progress');
  }

  #finish(incoming: Incoming, status: 'done' | 'refused'): void {
    if (this.#incoming === incoming) this.#incoming = undefined;
    const ack = { transfer: incoming.begin.transfer, next: incoming.taken, status };
    this.#finished = { from: incoming.from, ack };
    this.#options.ack(incoming.from, ack);
  }

  #ack(to: NodeId, transfer: number, next: number, status: SnapshotAck['status']): void {
    this.#options.ack(to, { transfer, next, status });
  }
}

/** The pieces of one transfer as an async iterable of chunks. */
class Incoming implements AsyncIterable<Uint8Array> {
  readonly from: NodeId;
  readonly begin: Begin;
  /** The first sequence that was not read. */
  taken = 1;
  heardMs: number;
  readonly #clock: Clock;
  readonly #onTaken: (taken: number) => void;
  readonly #held: SnapshotPiece[] = [];
  #next = 1;
  #stateBytes = 0;
  #error: RaftError | undefined;
  #wake: (() => void) | undefined;

  constructor(from: NodeId, begin: Begin, clock: Clock, onTaken: (taken: number) => void) {
    this.from = from;
    this.begin = begin;
    this.#clock = clock;
    this.heardMs = clock.monotonicMs();
    this.#onTaken = onTaken;
  }

  /** Whether it was the piece that comes next, so that an ack follows by itself. */
  take(piece: SnapshotPiece): boolean {
    this.heardMs = this.#clock.monotonicMs();
    if (piece.sequence !== this.#next || this.#held.length >= maxHeldPieces) return false;
    this.#next++;
    this.#held.push(piece);
    this.#wake?.();
    return true;
  }

  /** Makes the iteration reject. */
  fail(error: RaftError): void {
    this.#error ??= error;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      if (this.#error !== undefined) throw this.#error;
      const piece = this.#held.shift();
      if (piece === undefined) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
        continue;
      }
      this.taken = piece.sequence + 1;
      if (piece.type === 'end') {
        if (piece.stateBytes !== this.#stateBytes)
          throw new RaftError(
            'corrupt',
            `the snapshot has ${this.#stateBytes} bytes; its end says ${piece.stateBytes}`,
          );
        this.#onTaken(this.taken);
        return;
      }
      if (piece.type !== 'data') throw new RaftError('corrupt', `piece ${piece.sequence} begins a snapshot again`);
      this.#stateBytes += piece.data.length;
      yield piece.data;
      // The consumer came back for more, so it has done with the piece.
      this.#onTaken(this.taken);
    }
  }
}
