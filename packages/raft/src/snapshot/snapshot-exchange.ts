import type { Clock, Logger } from '@dcache/base';
import type { NodeId, SnapshotMetadata } from '../core/message.js';
import { RaftError, wordsOf } from '../errors.js';
import type { StateMachine } from '../state-machine.js';
import type { LogStorage } from '../storage.js';
import type { Transport } from '../transport.js';
import { inSlices } from './slices.js';
import type { SnapshotAck, SnapshotPiece } from './snapshot-frame.js';
import { SnapshotReceiver } from './snapshot-receiver.js';
import { SnapshotSender } from './snapshot-sender.js';

type Begin = Extract<SnapshotPiece, { type: 'begin' }>;

export interface SnapshotExchangeOptions {
  readonly storage: LogStorage;
  readonly transport: Transport;
  readonly stateMachine: StateMachine<unknown>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly defer: (run: () => void) => void;
  readonly firstTransfer: number;
  readonly chunkBytes: number;
  readonly window: number;
  readonly timeoutMs: number;
  readonly resendMs: number;
  /** Whether the state machine's one snapshot is in use elsewhere. */
  readonly isBusy: () => boolean;
  /** Resolves when the state machine's snapshot is closed there, which is given up. */
  readonly release: () => Promise<void>;
  /** What the state machine stands for now. */
  readonly state: () => SnapshotMetadata;
  readonly term: () => number;
  /** Whom to ask for a state: the leader, or undefined. */
  readonly leader: () => NodeId | undefined;
  readonly onSent: (to: NodeId, metadata: SnapshotMetadata, stateBytes: number) => void;
  /** The core should hear that its snapshot arrived, or did not. */
  readonly report: (to: NodeId, ok: boolean) => void;
  /** The state machine has the state of `metadata` now. */
  readonly onRestored: (from: NodeId, metadata: SnapshotMetadata) => void;
  /** The core should step this snapshot of a leader of `term`. */
  readonly step: (from: NodeId, term: number, metadata: SnapshotMetadata) => void;
  /** The state is lost and nobody brings another. */
  readonly onHopeless: (error: RaftError) => void;
}

/**
 * The state's way from node to node, out of the core's sight: the core's snapshot message becomes a transfer of the live
 * state as of the last applied entry, and the receiver's core hears of it when the state is there.
 *
 * Without a disk there is no room for a second copy of the state, so the receiver's state machine takes the pieces in as
 * they come. If the transfer dies half-way, its state is neither old nor new: nothing is applied or read until another
 * snapshot came, which the node asks the leader for, because its core, whose log is whole, sees no need of one. With a
 * disk the snapshot is complete in a file before the old state is touched.
 */
export class SnapshotExchange {
  readonly #options: SnapshotExchangeOptions;
  readonly #senders = new Map<NodeId, SnapshotSender>();
  readonly #receiver: SnapshotReceiver;
  #nextTransfer: number;
  /** Invariant: nothing is applied and nothing is read while this is not `whole`. */
  #state: 'whole' | 'restoring' | 'lost' = 'whole';
  #lostAtMs = 0;
  #lostBy: unknown;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #stopped = false;

  constructor(options: SnapshotExchangeOptions) {
    this.#options = options;
    this.#nextTransfer = options.firstTransfer;
    this.#receiver = new SnapshotReceiver({
      timeoutMs: options.timeoutMs,
      clock: options.clock,
      ack: (to, ack) => void options.transport.sendSnapshotAck(to, ack),
      judge: (from, begin) => this.#judge(from, begin),
      install: (from, begin, chunks) => this.#install(from, begin, chunks),
    });
  }

  /** Whether the state machine may be applied to and read. */
  get isWhole(): boolean {
    return this.#state === 'whole';
  }

  /** Transfers to others that are under way. */
  get sending(): number {
    return this.#senders.size;
  }

  /** Whether a snapshot can be begun now: one at a time, so that the state is held frozen once. */
  get canSend(): boolean {
    return this.isWhole && this.#senders.size === 0 && !this.#options.isBusy();
  }

  /** The lowest index that a receiver stands at or will stand at, or undefined: what follows it should be kept. */
  get lowestSending(): number | undefined {
    let lowest: number | undefined;
    for (const sender of this.#senders.values())
      if (lowest === undefined || sender.metadata.index < lowest) lowest = sender.metadata.index;
    return lowest;
  }

  /** Sends the state as it is now; the core hears of a failure by `report`. */
  send(to: NodeId, requested = false): void {
    const underWay = this.#senders.get(to);
    if (underWay !== undefined) {
      // One that the receiver asked for brings its state machine a state and its core nothing, and nobody reports it: the
      // core has to ask again once it is over.
      if (!requested && underWay.requested) this.#options.report(to, false);
      return;
    }
    if (!this.canSend || this.#stopped) {
      this.#options.report(to, false);
      return;
    }
    const { clock, defer, chunkBytes, window, timeoutMs, resendMs, transport } = this.#options;
    const metadata = this.#options.state();
    const sender = new SnapshotSender({
      to,
      transfer: this.#nextTransfer++,
      term: this.#options.term(),
      requested,
      metadata,
      snapshot: this.#options.stateMachine.snapshot(),
      chunkBytes,
      window,
      timeoutMs,
      resendMs,
      clock,
      defer,
      send: (piece) => transport.sendSnapshotPiece(to, piece),
      onEnd: (ok, stateBytes) => {
        this.#senders.delete(to);
        if (ok) this.#options.onSent(to, metadata, stateBytes);
        else this.#options.logger.warn({ to, index: metadata.index }, 'a snapshot did not arrive');
        if (!requested) this.#options.report(to, ok);
      },
    });
    this.#senders.set(to, sender);
  }

  onPiece(from: NodeId, piece: SnapshotPiece): void {
    this.#receiver.onPiece(from, piece);
  }

  onAck(from: NodeId, ack: SnapshotAck): void {
    if (ack.status === 'wanted') {
      if (this.canSend) this.send(from, true);
    } else this.#senders.get(from)?.onAck(ack);
  }

  onConnect(id: NodeId): void {
    this.#senders.get(id)?.onConnect();
  }

  tick(): void {
    for (const sender of this.#senders.values()) sender.tick();
    this.#receiver.tick();
    if (this.#state === 'lost') this.#ask();
  }

  /** The transfers to others end: this node leads no more. */
  abortSending(): void {
    for (const sender of this.#senders.values()) sender.abort();
  }

  stop(): void {
    this.#stopped = true;
    this.abortSending();
    this.#receiver.abort();
  }

  #judge(from: NodeId, begin: Begin): 'take' | 'have' | 'refuse' {
    const { term, metadata, requested } = begin;
    if (this.#stopped || term < this.#options.term()) return 'refuse';
    const index = this.#options.state().index;
    if (this.#state === 'lost') return metadata.index >= index ? 'take' : 'refuse';
    if (requested) return 'refuse';
    if (metadata.index > index) return 'take';
    this.#options.step(from, term, metadata);
    return 'have';
  }

  async #install(from: NodeId, begin: Begin, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const { metadata, term, requested } = begin;
    try {
      const file = this.#options.storage.writeSnapshot(metadata);
      const source = file === undefined ? chunks : await this.#keep(await file, chunks);
      // While a file was being filled, the log may have brought the state further than the snapshot.
      if (this.#state === 'lost' || this.#options.state().index < metadata.index) {
        await this.#restore(source, metadata);
        this.#options.onRestored(from, metadata);
      }
      if (!requested && !this.#stopped) this.#options.step(from, term, metadata);
    } catch (error) {
      this.#options.logger.warn({ from, index: metadata.index, err: error }, 'a snapshot could not be installed');
      throw error;
    }
  }

  async #keep(
    file: Awaited<NonNullable<ReturnType<LogStorage['writeSnapshot']>>>,
    chunks: AsyncIterable<Uint8Array>,
  ): Promise<AsyncIterable<Uint8Array>> {
    try {
      for await (const chunk of chunks) await file.write(chunk);
      await file.finish();
    } catch (error) {
      await file.abort();
      throw error;
    }
    const stored = await this.#options.storage.openSnapshot();
    if (stored === undefined) throw new RaftError('corrupt', 'a snapshot that was just finished is not there');
    return stored.chunks();
  }

  async #restore(source: AsyncIterable<Uint8Array>, metadata: SnapshotMetadata): Promise<void> {
    this.#state = 'restoring';
    try {
      this.abortSending();
      await this.#options.release();
      const { clock, defer, stateMachine } = this.#options;
      await stateMachine.restore(inSlices(source, clock, defer), metadata);
      this.#state = 'whole';
    } catch (error) {
      this.#state = 'lost';
      this.#lostAtMs = this.#options.clock.monotonicMs();
      this.#lostBy = error;
      throw error;
    }
  }

  #ask(): void {
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - this.#lostAtMs > 2 * this.#options.timeoutMs) {
      const why = `the state was lost half-way through a snapshot (${wordsOf(this.#lostBy)}), and no other came for ${2 * this.#options.timeoutMs} ms`;
      this.#options.onHopeless(new RaftError('state-machine', why, { cause: this.#lostBy }));
      return;
    }
    const leader = this.#options.leader();
    if (leader === undefined || nowMs - this.#askedAtMs < this.#options.resendMs) return;
    this.#askedAtMs = nowMs;
    this.#options.transport.sendSnapshotAck(leader, { transfer: 0, next: 0, status: 'wanted' });
  }
}
