import type { Clock } from '@dcache/base';
import type { NodeId, SnapshotMetadata } from './core/message.js';
import type { SnapshotAck, SnapshotPiece } from './snapshot-frame.js';
import type { StateMachineSnapshot } from './state-machine.js';

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
const sliceMs = 4;

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
  #isPumping = false;
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
    this.#pump();
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
        this.#pump();
      }
    }
  }

  /** The connection is new: what was on its way is lost. */
  onConnect(): void {
    this.#sent = 0;
    this.#pump();
  }

  /** Sends again what was not answered, and gives up after the timeout. */
  tick(): void {
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - this.#heardMs >= this.#options.timeoutMs) this.#end(false);
    if (nowMs - this.#sentMs >= this.#options.resendMs) this.#sent = 0;
    this.#pump();
  }

  /** Ends it without success. */
  abort(): void {
    this.#end(false);
  }

  #pump(): void {
    if (this.#isPumping || this.#hasEnded) return;
    const { clock, defer } = this.#options;
    const startMs = clock.monotonicMs();
    while (this.#sent < this.#unacked.length || (this.#unacked.length < this.#options.window && this.#make())) {
      if (!this.#options.send(this.#unacked[this.#sent]!)) return;
      this.#sent++;
      this.#sentMs = startMs;
      if (clock.monotonicMs() - startMs >= sliceMs) {
        this.#isPumping = true;
        defer(() => {
          this.#isPumping = false;
          this.#pump();
        });
        return;
      }
    }
  }

  /** Makes the next piece; false when there is none. */
  #make(): boolean {
    if (this.#isMade) return false;
    const { transfer, chunkBytes } = this.#options;
    const sequence = this.#base + this.#unacked.length;
    let chunk = this.#rest;
    while (chunk === undefined || chunk.length === 0) {
      const next = this.#chunks.next();
      if (next.done === true) {
        this.#isMade = true;
        this.#unacked.push({ type: 'end', transfer, sequence, stateBytes: this.#stateBytes });
        return true;
      }
      chunk = next.value;
    }
    const data = chunk.subarray(0, chunkBytes);
    this.#rest = chunk.subarray(data.length);
    this.#stateBytes += data.length;
    this.#unacked.push({ type: 'data', transfer, sequence, data });
    return true;
  }

  #end(ok: boolean): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#options.snapshot.close();
    this.#options.onEnd(ok, this.#stateBytes);
  }
}
