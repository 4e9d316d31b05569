import type { EventEmitter } from 'node:events';
import { Applier } from './applier.js';
import type { SnapshotMetadata, SoftState } from './core/message.js';
import { MessageType, makeMessage, type NodeId, noBytes, noNode, Role } from './core/message.js';
import type { RawNode } from './core/raw-node.js';
import { CoreLoop } from './core-loop.js';
import { RaftError } from './errors.js';
import { Handover } from './handover.js';
import { Histogram } from './histogram.js';
import { Lease } from './lease.js';
import { bestSuccessor } from './membership.js';
import type { ResolvedOptions } from './options.js';
import { Proposals } from './proposals.js';
import { ReadBarriers } from './reads.js';
import { Room } from './room.js';
import { Compactor, compactionFloor } from './snapshot/compactor.js';
import { SnapshotExchange } from './snapshot/snapshot-exchange.js';
import { restoreState } from './startup.js';
import { describeStatus, type RaftEvents, type RaftStats, type RaftStatus } from './status.js';

/**
 * The parts of a node and what each tells the others: the core's turns in `core-loop.ts`, applying in `applier.ts`, reads
 * in `reads.ts` and `lease.ts`, the state's way to other nodes in `snapshot/snapshot-exchange.ts`, keeping the log
 * short in `snapshot/compactor.ts`. Nobody outside the driver sees it; what a caller may ask for is in `node.ts`.
 */
export class Works<Reply> {
  readonly electionTimeoutMs: number;
  readonly proposals: Proposals<Reply>;
  readonly applier: Applier<Reply>;
  readonly compactor: Compactor;
  readonly exchange: SnapshotExchange;
  readonly reads: ReadBarriers;
  readonly lease: Lease;
  readonly handover: Handover;
  readonly room: Room;
  readonly #options: ResolvedOptions<Reply>;
  readonly #events: EventEmitter<RaftEvents>;
  readonly #onFailure: (cause: unknown) => void;
  /** Set by `begin`. */
  #loop: CoreLoop | undefined;
  #isRunning = false;
  #soft: SoftState = { leader: noNode, role: Role.follower };
  readonly #counts = { leaderChanges: 0, snapshotsSent: 0, snapshotsInstalled: 0 };

  /** `onFailure` is told what the node cannot go on after. */
  constructor(options: ResolvedOptions<Reply>, events: EventEmitter<RaftEvents>, onFailure: (cause: unknown) => void) {
    this.#options = options;
    this.#events = events;
    this.#onFailure = onFailure;
    this.electionTimeoutMs = options.electionTicks * options.tickMs;
    this.lease = new Lease(options.clock, options.leaseMs);
    this.handover = new Handover(options.clock);
    this.room = new Room({
      ...options,
      electionTimeoutMs: this.electionTimeoutMs,
      core: () => this.core,
      transfer: (to) => this.transfer(to),
    });
    this.proposals = new Proposals(options);
    this.applier = new Applier({
      stateMachine: options.stateMachine,
      clock: options.clock,
      sliceMs: options.applySliceMs,
      applyConfEntry: (entry) => this.core.applyConfEntry(entry),
      onApplied: (index, term, reply) => this.proposals.applied(index, term, reply),
      onMembership: (change, confState, index) => events.emit('membership-change', { change, confState, index }),
    });
    this.reads = this.#makeReads();
    this.compactor = new Compactor({
      ...options,
      maxChunkBytes: options.snapshotChunkBytes,
      state: () => this.applier.state,
      canSnapshot: () => this.exchange.canSend,
      floor: () => compactionFloor(this.core.status(), this.exchange.lowestSending),
    });
    this.exchange = this.#makeExchange();
  }

  /** Throws `stopped` before `begin`. */
  get loop(): CoreLoop {
    if (this.#loop === undefined) throw new RaftError('stopped', 'the node was not started');
    return this.#loop;
  }

  get core(): RawNode {
    return this.loop.core;
  }

  /** Whether `begin` was called. */
  get hasBegun(): boolean {
    return this.#loop !== undefined;
  }

  /** Has a turn of the core follow. */
  schedule(): void {
    this.#loop?.schedule();
  }

  /** Gives the state machine what the storage has. */
  async restore(): Promise<void> {
    const { storage, stateMachine } = this.#options;
    const metadata = await restoreState(storage, stateMachine);
    if (metadata === undefined) return;
    this.applier.restored(metadata);
    this.compactor.onSnapshot(metadata.index);
  }

  /** Makes the core, from what is in the storage. */
  prepare(): CoreLoop {
    const { storage } = this.#options;
    const log = {
      initialState: () => storage.initialState(),
      firstIndex: () => storage.firstIndex(),
      lastIndex: () => storage.lastIndex(),
      term: (index: number) => storage.term(index),
      entries: (lo: number, hi: number, maxBytes: number) => storage.entries(lo, hi, maxBytes),
      // The state is not copied: a follower gets that of the moment when its transfer begins.
      snapshot: () => (this.exchange.canSend ? { metadata: this.applier.state, data: noBytes } : undefined),
    };
    return new CoreLoop(this.#options as ResolvedOptions<unknown>, log, this.applier.index, {
      onTurn: () => {
        this.room.lookAgain();
        this.reads.flush();
      },
      onSoftState: (soft) => this.#onSoftState(soft),
      onReadState: (index, context) => this.reads.onReadState(index, context),
      onApply: (message) => this.applier.push(message),
      onSnapshotNeeded: (to) => this.exchange.send(to),
      isBacklogged: () => this.#isBacklogged(),
      onTurnDone: () => this.#apply(),
      onFailure: (error) => this.#onFailure(error),
    });
  }

  /** Takes part from now on: the transport and the ticks go to `loop`. */
  begin(loop: CoreLoop): void {
    this.#loop = loop;
    this.#isRunning = true;
    this.#options.transport.start({
      onMessages: (from, messages) => loop.run(() => loop.receive(from, messages)),
      onSnapshotPiece: (from, piece) => loop.run(() => this.exchange.onPiece(from, piece)),
      onSnapshotAck: (from, ack) => loop.run(() => this.exchange.onAck(from, ack)),
      onConnect: (id) => loop.run(() => this.exchange.onConnect(id)),
      onUnreachable: (id) => loop.run(() => loop.core.reportUnreachable(id)),
    });
  }

  /** The first turn: the only voter need not wait for its time. */
  wake(): void {
    this.loop.run(() => this.#campaignAlone());
  }

  /** One tick of the clock. */
  tick(): void {
    this.loop.run(() => {
      this.loop.tick();
      this.reads.tick();
      this.exchange.tick();
      this.proposals.tick();
      this.handover.tick();
      this.room.look();
      this.#leaveIfStuck();
    });
  }

  /** Begins to hand leadership to that voter. */
  transfer(to: NodeId): void {
    // The forced election that follows does not respect the lease, and its message may be late: no lease in this term.
    this.lease.renounce(this.core.term);
    this.core.transferLeader(to);
    this.schedule();
  }

  /** Settles all that waits, because of `cause` or of a stop. */
  end(cause: RaftError | undefined): void {
    this.#isRunning = false;
    const why = cause === undefined ? 'the node was stopped' : `the node has ended: ${cause.message}`;
    this.proposals.failAll(why, cause);
    this.reads.failAll(new RaftError('stopped', why, { cause }));
    this.handover.fail(new RaftError('stopped', why, { cause }));
    this.#loop?.stop();
    this.exchange.stop();
  }

  status(): RaftStatus {
    const { id, storage } = this.#options;
    return describeStatus(id, this.#loop?.core.status(), storage, this.applier.state, this.exchange.isWhole);
  }

  stats(): Omit<RaftStats, 'proposals' | 'proposalsRefused'> {
    const { storage } = this.#options;
    const noCounts = { messagesSent: 0, messagesReceived: 0, messagesRefused: 0, maxTickDelaySeconds: 0 };
    return {
      ...this.#counts,
      ...(this.#loop?.counts ?? noCounts),
      pendingProposals: this.proposals.size,
      pendingReads: this.reads.pending,
      readRounds: this.reads.rounds,
      appliedEntries: this.applier.appliedEntries,
      snapshotsWritten: this.compactor.snapshots,
      logBytes: storage.sizeBytes,
      isDiskFull: storage.isFull,
      commitLatency: this.proposals.latency.snapshot(),
      appendLatency: (this.#loop?.appendLatency ?? new Histogram()).snapshot(),
    };
  }

  // ------------------------------------------------------------------------------------------------------ the parts

  #makeReads(): ReadBarriers {
    const { clock, random, maxPendingReads, readTimeoutMs } = this.#options;
    return new ReadBarriers({
      clock,
      random,
      maxPending: maxPendingReads,
      timeoutMs: readTimeoutMs,
      retryMs: this.electionTimeoutMs,
      issue: (context) => this.core.readIndex(context),
      now: () => ({ sent: this.lease.now(), term: this.core.term }),
      onConfirmed: (term, sent) => {
        const { core } = this;
        if (core.role === Role.leader && core.term === term) this.lease.extend(term, sent);
      },
      schedule: () => this.schedule(),
    });
  }

  #makeExchange(): SnapshotExchange {
    const { id, snapshotChunkBytes, snapshotWindow, snapshotTimeoutMs, random } = this.#options;
    return new SnapshotExchange({
      ...this.#options,
      firstTransfer: 1 + random.below(2 ** 50),
      chunkBytes: snapshotChunkBytes,
      window: snapshotWindow,
      timeoutMs: snapshotTimeoutMs,
      resendMs: 2 * this.electionTimeoutMs,
      isBusy: () => this.compactor.isWriting,
      release: () => this.compactor.cancel(),
      state: () => this.applier.state,
      term: () => this.core.term,
      leader: () => {
        const { leader } = this.core;
        return leader === noNode || leader === id ? undefined : leader;
      },
      onSent: (to, { index }, stateBytes) => {
        this.#counts.snapshotsSent++;
        this.#events.emit('snapshot-sent', { to, index, stateBytes });
      },
      report: (to, ok) => {
        if (!this.#isRunning) return;
        this.core.reportSnapshot(to, ok);
        this.schedule();
      },
      onRestored: (from, metadata) => this.#onRestored(from, metadata),
      step: (from, term, metadata) => this.#stepSnapshot(from, term, metadata),
      onHopeless: (error) => this.#onFailure(error),
    });
  }

  // --------------------------------------------------------------------------------------------------------- events

  /** Applies a slice of what waits; another turn follows while something does. */
  #apply(): void {
    if (!this.exchange.isWhole) return;
    if (!this.applier.isIdle) {
      const { done, bytes } = this.applier.run();
      for (const message of done) this.loop.deliver(message.responses);
      this.compactor.afterApply(bytes);
      this.#campaignAlone();
      if (!this.applier.isIdle) this.schedule();
    }
    this.reads.onApplied(this.applier.index);
  }

  #isBacklogged(): boolean {
    const { storage, maxUnappliedBytes } = this.#options;
    // The whole log weighs less, nearly always: only then it is worth a look at what of it is not applied.
    if (storage.sizeBytes <= maxUnappliedBytes) return false;
    return storage.firstIndexWithin(maxUnappliedBytes) > this.applier.index + 1;
  }

  /** The only voter need not wait for an election timeout: there is nobody whose election it could disturb. */
  #campaignAlone(): void {
    const { core } = this;
    if (core.role !== Role.follower || core.leader !== noNode) return;
    const { voters, votersOutgoing } = this.applier.state.confState;
    if (voters.length !== 1 || voters[0] !== core.id || votersOutgoing.length > 0) return;
    const { applied, commit } = core.basicStatus();
    if (applied === commit) core.campaign();
  }

  /** A leader whose disk hangs sends heartbeats and acknowledges nothing: another does better. */
  #leaveIfStuck(): void {
    const { core, writingForMs } = this.loop;
    if (core.role !== Role.leader || writingForMs < 2 * this.electionTimeoutMs) return;
    // Then it waits for room, and `room` knows what to do.
    if (this.#options.storage.isFull) return;
    const successor = bestSuccessor(core.status(), ({ hasRoom }) => hasRoom !== false);
    if (successor !== undefined) this.transfer(successor);
  }

  #onSoftState(soft: SoftState): void {
    const before = this.#soft;
    this.#soft = soft;
    const { term } = this.core;
    if (before.role === Role.leader && soft.role !== Role.leader) {
      this.proposals.leadershipEnded();
      this.exchange.abortSending();
      this.handover.succeed();
    }
    // Before the first write that it could take: a full disk may lead because nobody else could.
    if (soft.role === Role.leader) this.room.look();
    if (soft.leader === before.leader) return;
    this.#counts.leaderChanges++;
    const leader = soft.leader === noNode ? undefined : soft.leader;
    this.#options.logger.debug({ leader, term }, 'the leader changed');
    this.#events.emit('leader-change', { leader, term });
  }

  #stepSnapshot(from: NodeId, term: number, metadata: SnapshotMetadata): void {
    if (!this.#isRunning) return;
    const snapshot = { metadata, data: noBytes };
    this.core.step(makeMessage(MessageType.snapshot, this.core.id, { from, term, snapshot }));
    this.schedule();
  }

  #onRestored(from: NodeId, metadata: SnapshotMetadata): void {
    const { index, term, confState } = metadata;
    this.applier.restored(metadata);
    this.compactor.onSnapshot(index);
    this.proposals.coveredBySnapshot(index);
    this.#counts.snapshotsInstalled++;
    this.#options.logger.info({ from, index }, 'a snapshot was installed');
    this.#events.emit('snapshot-installed', { from, index, term });
    this.#events.emit('membership-change', { change: { changes: [] }, confState, index });
    this.schedule();
  }
}
