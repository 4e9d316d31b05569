import { type Clock, concatBytes } from '@dcache/base';
import type { NodeId, SnapshotMetadata } from '../core/message.js';
import type { StateMachineSnapshot } from '../state-machine.js';
import type { SnapshotAck, SnapshotPiece } from './snapshot-frame.js';

export interface SnapshotSenderOptions {
  readonly to: NodeId;
  /** Never used before by this node towards `to`. */
  readonly transfer: number;
  readonly term: number;
  readonly requested: boolean;
  readonly metadata: SnapshotMetadata;
  /** Closed when the transfer ends. */
  readonly snapshot: StateMachineSnapshot;
  readonly chunkBytes: number;
  readonly window: number;
  readonly timeoutMs: number;
  /** Pieces not answered are sent again after this time, in milliseconds. */
  readonly resendMs: number;
  readonly clock: Clock;
  readonly defer: (run: () => void) => void;
  readonly send: (piece: SnapshotPiece) => boolean;
  /** Once. `ok` says that the receiver has restored the state. */
  readonly onEnd: (ok: boolean, stateBytes: number) => void;
}

/** Making pieces stops after this time, in milliseconds, to let the event loop turn. */
const sliceMs = 2;

/**
 * Sends one snapshot to one node: at most `window` pieces are on their way, and exactly these are kept, so a connection
 * that breaks costs at most a window, and the state is walked through once however often that happens. (Go-back-N.)
 */
export class SnapshotSender {
  readonly to: NodeId;
  readonly metadata: SnapshotMetadata;
  readonly #options: SnapshotSenderOptions;
  readonly #chunks: Iterator<Uint8Array>;
  /** What the last chunk still has for further pieces. */
  #rest: Uint8Array | undefined;
  /** Invariant: `#unacked[i].sequence === #base + i`, and at most `window` of them. */
  readonly #unacked: SnapshotPiece[] = [];
  #base = 0;
  /** How many of `#unacked` were sent since the connection came. */
  #sent = 0;
  #stateBytes = 0;
  #isMade = false;
  #hasEnded = false;
  #isScheduled = false;
  #heardMs: number;
  #sentMs: number;

  constructor(options: SnapshotSenderOptions) {
    this.#options = options;
    this.to = options.to;
    this.metadata = options.metadata;
    this.#chunks = options.snapshot.chunks()[Symbol.iterator]();
    this.#heardMs = options.clock.monotonicMs();
    this.#sentMs = this.#heardMs;
    const { transfer, term, requested, metadata } = options;
    this.#unacked.push({ type: 'begin', transfer, sequence: 0, term, requested, metadata });
    this.#schedule();
  }

  /** Whether the receiver asked for it, and not this node's core. */
  get requested(): boolean {
    return this.#options.requested;
  }

  get transfer(): number {
    return this.#options.transfer;
  }

  /** An ack from the receiver. */
  onAck(ack: SnapshotAck): void {
    if (this.#hasEnded || ack.transfer !== this.#options.transfer) return;
    this.#heardMs = this.#options.clock.monotonicMs();
    switch (ack.status) {
      case 'done':
        this.#end(true);
        return;
      case 'refused':
      case 'unknown':
        this.#end(false);
        return;
      default: {
        // The end is sent again until the receiver says what came of it all.
        const most = this.#unacked.length - (this.#isMade ? 1 : 0);
        const taken = Math.min(ack.next - this.#base, most);
        if (taken <= 0) return;
        this.#unacked.splice(0, taken);
        this.#base += taken;
        this.#sent = Math.max(0, this.#sent - taken);
        this.#sentMs = this.#heardMs;
        this.#schedule();
      }
    }
  }

  /** The connection is new: what was on its way is lost. */
  onConnect(): void {
    this.#sent = 0;
    this.#schedule();
  }

  /** Sends again what was not answered, and gives up after the timeout. */
  tick(): void {
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - this.#heardMs >= this.#options.timeoutMs) this.#end(false);
    if (nowMs - this.#sentMs >= this.#options.resendMs) this.#sent = 0;
    this.#schedule();
  }

  /** Ends it without success. */
  abort(): void {
    this.#end(false);
  }

  /** Has pieces made in the next turn: one slice a turn, however many answers came in this one. */
  #schedule(): void {
    if (this.#isScheduled || this.#hasEnded) return;
    this.#isScheduled = true;
    this.#options.defer(() => {
      this.#isScheduled = false;
      if (!this.#hasEnded) this.#pump();
    });
  }

  #pump(): void {
    const { clock, window, send } = this.#options;
    const startMs = clock.monotonicMs();
    const endMs = startMs + sliceMs;
    while (this.#sent < this.#unacked.length || (this.#unacked.length < window && this.#make(endMs))) {
      if (!send(this.#unacked[this.#sent]!)) return;
      this.#sent++;
      this.#sentMs = startMs;
      if (clock.monotonicMs() >= endMs) {
        this.#schedule();
        return;
      }
    }
  }

  /** Makes the next piece, as large as it may be or as can be made until `endMs`; false when there is none. */
  #make(endMs: number): boolean {
    if (this.#isMade) return false;
    const { transfer, chunkBytes, clock } = this.#options;
    const sequence = this.#base + this.#unacked.length;
    const parts: Uint8Array[] = [];
    let size = 0;
    do {
      const chunk = this.#nextChunk();
      if (chunk === undefined) break;
      const part = chunk.subarray(0, chunkBytes - size);
      this.#rest = chunk.subarray(part.length);
      size += part.length;
      parts.push(part);
    } while (size < chunkBytes && clock.monotonicMs() < endMs);
    if (parts.length === 0) {
      this.#isMade = true;
      this.#unacked.push({ type: 'end', transfer, sequence, stateBytes: this.#stateBytes });
      return true;
    }
    this.#stateBytes += size;
    const data = parts.length === 1 ? parts[0]! : concatBytes(parts);
    this.#unacked.push({ type: 'data', transfer, sequence, data });
    return true;
  }

  /** What is left of the last chunk, or another; undefined at the end. */
  #nextChunk(): Uint8Array | undefined {
    let chunk = this.#rest;
    while (chunk === undefined || chunk.length === 0) {
      const next = this.#chunks.next();
      if (next.done === true) return undefined;
      chunk = next.value;
    }
    return chunk;
  }

  #end(ok: boolean): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#options.snapshot.close();
    this.#options.onEnd(ok, this.#stateBytes);
  }
}
