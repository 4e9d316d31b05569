import { EventEmitter } from 'node:events';
import { systemClock } from '@dcache/base';
import { Applier } from './applier.js';
import { Compactor, compactionFloor } from './compactor.js';
import {
  type ConfState,
  MessageType,
  makeMessage,
  type NodeId,
  noBytes,
  noNode,
  Role,
  type SnapshotMetadata,
  type SoftState,
} from './core/message.js';
import type { RawNode } from './core/raw-node.js';
import { CoreLoop } from './core-loop.js';
import { RaftError } from './errors.js';
import { Handover } from './handover.js';
import { Histogram } from './histogram.js';
import { Lease } from './lease.js';
import { bestSuccessor, isAlreadySo, type MembershipChange, refusal, toConfChange } from './membership.js';
import { type RaftNodeOptions, type ResolvedOptions, resolveOptions } from './options.js';
import { Proposals } from './proposals.js';
import { ReadBarriers } from './reads.js';
import { notLeader, placeOf } from './refusals.js';
import { SnapshotExchange } from './snapshot-exchange.js';
import { foundCluster, restoreState } from './startup.js';
import { describeStatus, type RaftEvents, type RaftStats, type RaftStatus } from './status.js';

/**
 * One member of a cluster: the core with a clock, a log, a network and a state machine.
 *
 * This file says what a caller may ask for and when it is answered. The work itself is done beside it: the core's turns
 * in `core-loop.ts`, applying in `applier.ts`, reads in `reads.ts` and `lease.ts`, the state's way to other nodes in
 * `snapshot-exchange.ts`, keeping the log short in `compactor.ts`.
 *
 * What cannot go on (a failed disk, a state machine that throws, a broken invariant) ends the node with `fatal`.
 */
export class RaftNode<Reply> extends EventEmitter<RaftEvents> {
  readonly id: NodeId;
  readonly #options: ResolvedOptions<Reply>;
  readonly #electionTimeoutMs: number;
  readonly #proposals: Proposals<Reply>;
  readonly #applier: Applier<Reply>;
  readonly #compactor: Compactor;
  readonly #exchange: SnapshotExchange;
  readonly #reads: ReadBarriers;
  readonly #lease: Lease;
  /** Set by `start`. */
  #loop: CoreLoop | undefined;
  #state: 'new' | 'starting' | 'running' | 'stopping' | 'stopped' = 'new';
  #fatal: RaftError | undefined;
  #stopped: Promise<void> | undefined;
  #stopTicks: () => void = () => {};
  #soft: SoftState = { leader: noNode, role: Role.follower };
  #changesMembership = false;
  readonly #handover: Handover;
  readonly #counts = { proposals: 0, proposalsRefused: 0, leaderChanges: 0, snapshotsSent: 0, snapshotsInstalled: 0 };

  /** Throws a `TypeError` that names the option that is wrong. Does nothing yet: call `start`. */
  constructor(options: RaftNodeOptions<Reply>) {
    super();
    const resolved = resolveOptions(options);
    this.#options = resolved;
    this.id = resolved.id;
    this.#electionTimeoutMs = resolved.electionTicks * resolved.tickMs;
    this.#lease = new Lease(resolved.clock, resolved.leaseMs);
    this.#handover = new Handover(resolved.clock);
    this.#proposals = new Proposals(resolved);
    this.#applier = new Applier({
      stateMachine: resolved.stateMachine,
      clock: resolved.clock,
      sliceMs: resolved.applySliceMs,
      applyConfEntry: (entry) => this.#core.applyConfEntry(entry),
      onApplied: (index, term, reply) => this.#proposals.applied(index, term, reply),
      onMembership: (change, confState, index) => this.emit('membership-change', { change, confState, index }),
    });
    this.#reads = this.#makeReads();
    this.#compactor = new Compactor({
      ...resolved,
      maxChunkBytes: resolved.snapshotChunkBytes,
      state: () => this.#applier.state,
      canSnapshot: () => this.#exchange.canSend,
      floor: () => compactionFloor(this.#core.status(), this.#exchange.lowestSending),
    });
    this.#exchange = this.#makeExchange();
  }

  /**
   * Restores the state from the storage, opens the transport and begins to take part; the process stays alive until
   * `stop`. Rejects with a `RaftError` when
   * what the storage has cannot be read; the node is stopped then.
   */
  async start(): Promise<void> {
    if (this.#state !== 'new') throw new RaftError('stopped', 'a node is started once');
    this.#state = 'starting';
    const { transport, clock, tickMs } = this.#options;
    let loop: CoreLoop;
    try {
      await this.#restoreState();
      const { storage, bootstrap } = this.#options;
      if (bootstrap !== undefined) await foundCluster(storage, this.id, bootstrap.context);
      loop = this.#makeLoop();
    } catch (error) {
      await this.stop();
      throw error;
    }
    if (this.#stopped !== undefined) throw new RaftError('stopped', 'the node was stopped while it started');
    this.#loop = loop;
    this.#state = 'running';
    transport.start({
      onMessages: (from, messages) => loop.run(() => loop.receive(from, messages)),
      onSnapshotPiece: (from, piece) => loop.run(() => this.#exchange.onPiece(from, piece)),
      onSnapshotAck: (from, ack) => loop.run(() => this.#exchange.onAck(from, ack)),
      onConnect: (id) => loop.run(() => this.#exchange.onConnect(id)),
      onUnreachable: (id) => loop.run(() => loop.core.reportUnreachable(id)),
    });
    const stopTicks = clock.every(tickMs, () => loop.run(() => this.#tick(loop)));
    // The clock lets a process end while its timers wait; a member of a cluster stays until it is stopped.
    const stayAlive = clock === systemClock ? setInterval(() => {}, 2 ** 30) : undefined;
    this.#stopTicks = () => {
      stopTicks();
      clearInterval(stayAlive);
    };
    loop.run(() => this.#campaignAlone());
  }

  /**
   * Ends taking part; what waits is rejected, what is being written is finished. Whoever wants to leave in order calls
   * `transferLeadership` before. Resolves when storage and transport are closed; may be called more than once.
   */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /**
   * Puts `data` into the log and resolves with what the state machine replied to it; `data` must not be changed
   * afterwards. Rejects with a `RaftError`: see its codes for which of them leave open whether it was applied. Always
   * settles, at the latest after `proposalTimeoutMs`.
   */
  propose(data: Uint8Array, options: { readonly signal?: AbortSignal } = {}): Promise<Reply> {
    const { signal } = options;
    try {
      this.#assertProposable(data, signal);
      const { index, term } = placeOf(this.#core, this.#core.propose(data));
      this.#schedule();
      this.#counts.proposals++;
      // What is applied at this place with this term is this entry, so the reply is the state machine's.
      return this.#proposals.wait(index, term, signal) as Promise<Reply>;
    } catch (error) {
      this.#counts.proposalsRefused++;
      return Promise.reject(error);
    }
  }

  /**
   * Resolves with an index once the local state machine may be read at `level`, with all that was acknowledged anywhere
   * before the call. Read synchronously when it resolves.
   *
   * `linearizable`: a quorum confirms the leader, in one round for all reads of a turn; on any node. `lease`: only on
   * the leader, and without a round while its lease lasts; after the read, ask `isLeaseValid()`, and if it says no, do
   * not use what was read. (Thesis §6.4)
   */
  async readBarrier(level: 'linearizable' | 'lease'): Promise<number> {
    this.#assertRunning();
    if (level === 'linearizable') return this.#reads.request();
    const { role, term } = this.#core;
    if (role !== Role.leader) throw notLeader(this.#core);
    if (this.#lease.isValid(term)) {
      if (this.#lease.isOld(term)) this.#reads.confirm();
      const index = this.#running.commitIndex;
      if (this.#applier.index >= index && this.#exchange.isWhole) return index;
      await this.#reads.applied(index);
      if (this.isLeaseValid()) return index;
    }
    return this.#reads.request();
  }

  /** Whether what was read now, after a `lease` barrier, is certain to be no older than the barrier. */
  isLeaseValid(): boolean {
    if (this.#state !== 'running') return false;
    const { role, term } = this.#core;
    return role === Role.leader && this.#lease.isValid(term);
  }

  /**
   * Changes one member and resolves with the members once the change is applied here; at once if nothing is to be
   * changed. Only on the leader, one at a time. Rejects with `refused`, `not-caught-up`, `busy`, or as `propose`.
   */
  async changeMembership(change: MembershipChange): Promise<ConfState> {
    this.#assertRunning();
    if (this.#core.role !== Role.leader) throw notLeader(this.#core);
    if (this.#changesMembership) throw new RaftError('busy', 'another membership change is under way');
    const status = this.#core.status();
    if (isAlreadySo(change, status.confState)) return status.confState;
    const refused = refusal(change, status, this.#options.maxPromotionLag);
    if (refused !== undefined) throw refused;
    const place = placeOf(this.#core, this.#core.proposeConfChange(toConfChange(change)));
    this.#schedule();
    if (place.refusal === 'invalid' || place.refusal === 'malformed')
      throw new RaftError('refused', 'the change does not fit the present members');
    if (place.refusal !== undefined)
      throw new RaftError('busy', 'an earlier membership change, or entry that may be one, is not applied yet');
    this.#changesMembership = true;
    try {
      return (await this.#proposals.wait(place.index, place.term)) as ConfState;
    } finally {
      this.#changesMembership = false;
    }
  }

  /**
   * Hands leadership to `to`, or to the voter that is furthest. Resolves when this node leads no more; rejects with
   * `busy` when that did not happen within two election timeouts. (Thesis §3.10)
   */
  async transferLeadership(to?: NodeId): Promise<void> {
    this.#assertRunning();
    if (this.#core.role !== Role.leader) throw notLeader(this.#core);
    if (this.#handover.isUnderWay) throw new RaftError('busy', 'leadership is being handed over already');
    const target = to ?? bestSuccessor(this.#core.status());
    const { voters } = this.#applier.state.confState;
    if (target === undefined || target === this.id || !voters.includes(target))
      throw new RaftError('refused', `leadership goes to another voter; ${String(target ?? 'there')} is none`);
    const core = this.#core;
    // The forced election that follows does not respect the lease, and its message may be late: no lease in this term.
    this.#lease.renounce(core.term);
    core.transferLeader(target);
    this.#schedule();
    await this.#handover.begin(2 * this.#electionTimeoutMs);
  }

  status(): RaftStatus {
    const { storage } = this.#options;
    return describeStatus(this.id, this.#loop?.core.status(), storage, this.#applier.state, this.#exchange.isWhole);
  }

  stats(): RaftStats {
    const { storage } = this.#options;
    const noCounts = { messagesSent: 0, messagesReceived: 0, messagesRefused: 0, maxTickDelaySeconds: 0 };
    return {
      ...this.#counts,
      ...(this.#loop?.counts ?? noCounts),
      pendingProposals: this.#proposals.size,
      pendingReads: this.#reads.pending,
      readRounds: this.#reads.rounds,
      appliedEntries: this.#applier.appliedEntries,
      snapshotsWritten: this.#compactor.snapshots,
      logBytes: storage.sizeBytes,
      isDiskFull: storage.isFull,
      commitLatency: this.#proposals.latency.snapshot(),
      appendLatency: (this.#loop?.appendLatency ?? new Histogram()).snapshot(),
    };
  }

  // ------------------------------------------------------------------------------------------- starting and stopping

  async #stop(): Promise<void> {
    this.#state = 'stopping';
    this.#settleAll(this.#fatal);
    this.#loop?.stop();
    this.#stopTicks();
    this.#exchange.stop();
    // Others hear no more of this node, even if its disk hangs.
    if (this.#loop !== undefined) await this.#options.transport.stop();
    await this.#compactor.cancel();
    await this.#options.storage.close();
    this.#state = 'stopped';
  }

  async #restoreState(): Promise<void> {
    const { storage, stateMachine } = this.#options;
    const metadata = await restoreState(storage, stateMachine);
    if (metadata === undefined) return;
    this.#applier.restored(metadata);
    this.#compactor.onSnapshot(metadata.index);
  }

  #makeLoop(): CoreLoop {
    const { storage } = this.#options;
    const log = {
      initialState: () => storage.initialState(),
      firstIndex: () => storage.firstIndex(),
      lastIndex: () => storage.lastIndex(),
      term: (index: number) => storage.term(index),
      entries: (lo: number, hi: number, maxBytes: number) => storage.entries(lo, hi, maxBytes),
      // The state is not copied: a follower gets that of the moment when its transfer begins.
      snapshot: () => (this.#exchange.canSend ? { metadata: this.#applier.state, data: noBytes } : undefined),
    };
    return new CoreLoop(this.#options as ResolvedOptions<unknown>, log, this.#applier.index, {
      onTurn: () => this.#reads.flush(),
      onSoftState: (soft) => this.#onSoftState(soft),
      onReadState: (index, context) => this.#reads.onReadState(index, context),
      onApply: (message) => this.#applier.push(message),
      onSnapshotNeeded: (to) => this.#exchange.send(to),
      isBacklogged: () => this.#isBacklogged(),
      onTurnDone: () => this.#apply(),
      onFailure: (error) => this.#fail(error),
    });
  }

  #makeReads(): ReadBarriers {
    const { clock, random, maxPendingReads, readTimeoutMs } = this.#options;
    return new ReadBarriers({
      clock,
      random,
      maxPending: maxPendingReads,
      timeoutMs: readTimeoutMs,
      retryMs: this.#electionTimeoutMs,
      issue: (context) => this.#core.readIndex(context),
      now: () => ({ sent: this.#lease.now(), term: this.#core.term }),
      onConfirmed: (term, sent) => {
        const core = this.#core;
        if (core.role === Role.leader && core.term === term) this.#lease.extend(term, sent);
      },
      schedule: () => this.#schedule(),
    });
  }

  #makeExchange(): SnapshotExchange {
    const { snapshotChunkBytes, snapshotWindow, snapshotTimeoutMs, random } = this.#options;
    return new SnapshotExchange({
      ...this.#options,
      firstTransfer: 1 + random.below(2 ** 50),
      chunkBytes: snapshotChunkBytes,
      window: snapshotWindow,
      timeoutMs: snapshotTimeoutMs,
      resendMs: 2 * this.#electionTimeoutMs,
      isBusy: () => this.#compactor.isWriting,
      release: () => this.#compactor.cancel(),
      state: () => this.#applier.state,
      term: () => this.#core.term,
      leader: () => {
        const { leader } = this.#core;
        return leader === noNode || leader === this.id ? undefined : leader;
      },
      onSent: (to, { index }, stateBytes) => {
        this.#counts.snapshotsSent++;
        this.emit('snapshot-sent', { to, index, stateBytes });
      },
      report: (to, ok) => {
        if (this.#state !== 'running') return;
        this.#core.reportSnapshot(to, ok);
        this.#schedule();
      },
      onRestored: (from, metadata) => this.#onRestored(from, metadata),
      step: (from, term, metadata) => this.#stepSnapshot(from, term, metadata),
      onHopeless: (error) => this.#fail(error),
    });
  }

  // --------------------------------------------------------------------------------------------------------- events

  get #running(): CoreLoop {
    if (this.#loop === undefined) throw new RaftError('stopped', 'the node was not started');
    return this.#loop;
  }

  get #core(): RawNode {
    return this.#running.core;
  }

  #schedule(): void {
    this.#loop?.schedule();
  }

  /** Applies a slice of what waits; another turn follows while something does. */
  #apply(): void {
    if (!this.#exchange.isWhole) return;
    if (!this.#applier.isIdle) {
      const { done, bytes } = this.#applier.run();
      for (const message of done) this.#running.deliver(message.responses);
      this.#compactor.afterApply(bytes);
      this.#campaignAlone();
      if (!this.#applier.isIdle) this.#schedule();
    }
    this.#reads.onApplied(this.#applier.index);
  }

  #isBacklogged(): boolean {
    const { storage, maxUnappliedBytes } = this.#options;
    // The whole log weighs less, nearly always: only then it is worth a look at what of it is not applied.
    if (storage.sizeBytes <= maxUnappliedBytes) return false;
    return storage.firstIndexWithin(maxUnappliedBytes) > this.#applier.index + 1;
  }

  /** The only voter need not wait for an election timeout: there is nobody whose election it could disturb. */
  #campaignAlone(): void {
    const core = this.#core;
    if (core.role !== Role.follower || core.leader !== noNode) return;
    const { voters, votersOutgoing } = this.#applier.state.confState;
    if (voters.length !== 1 || voters[0] !== this.id || votersOutgoing.length > 0) return;
    const { applied, commit } = core.basicStatus();
    if (applied === commit) core.campaign();
  }

  #tick(loop: CoreLoop): void {
    loop.tick();
    this.#reads.tick();
    this.#exchange.tick();
    this.#proposals.tick();
    this.#handover.tick();
    this.#leaveIfStuck(loop);
  }

  /** A leader whose disk hangs sends heartbeats and acknowledges nothing: another does better. */
  #leaveIfStuck({ core, writingForMs }: CoreLoop): void {
    if (core.role !== Role.leader || writingForMs < 2 * this.#electionTimeoutMs) return;
    const successor = bestSuccessor(core.status());
    if (successor === undefined) return;
    this.#lease.renounce(core.term);
    core.transferLeader(successor);
  }

  #onSoftState(soft: SoftState): void {
    const before = this.#soft;
    this.#soft = soft;
    const { term } = this.#core;
    if (before.role === Role.leader && soft.role !== Role.leader) {
      this.#proposals.leadershipEnded();
      this.#exchange.abortSending();
      this.#handover.succeed();
    }
    if (soft.leader === before.leader) return;
    this.#counts.leaderChanges++;
    const leader = soft.leader === noNode ? undefined : soft.leader;
    this.#options.logger.info({ leader, term }, 'the leader changed');
    this.emit('leader-change', { leader, term });
  }

  #stepSnapshot(from: NodeId, term: number, metadata: SnapshotMetadata): void {
    if (this.#state !== 'running') return;
    const snapshot = { metadata, data: noBytes };
    this.#core.step(makeMessage(MessageType.snapshot, this.id, { from, term, snapshot }));
    this.#schedule();
  }

  #onRestored(from: NodeId, metadata: SnapshotMetadata): void {
    const { index, term, confState } = metadata;
    this.#applier.restored(metadata);
    this.#compactor.onSnapshot(index);
    this.#proposals.coveredBySnapshot(index);
    this.#counts.snapshotsInstalled++;
    this.#options.logger.info({ from, index }, 'a snapshot was installed');
    this.emit('snapshot-installed', { from, index, term });
    this.emit('membership-change', { change: { changes: [] }, confState, index });
    this.#schedule();
  }

  // --------------------------------------------------------------------------------------------------------- helpers

  #assertProposable(data: Uint8Array, signal: AbortSignal | undefined): void {
    this.#assertRunning();
    const refused = this.#proposals.refusal(data);
    if (this.#core.role !== Role.leader) throw notLeader(this.#core);
    if (this.#options.storage.isFull) throw new RaftError('disk-full', 'there is no room for more log on the disk');
    if (refused !== undefined) throw refused;
    if (signal?.aborted === true)
      throw new RaftError('aborted', 'aborted before it was proposed', { cause: signal.reason });
  }

  #assertRunning(): void {
    if (this.#state !== 'running') throw new RaftError('stopped', `the node is ${this.#state}`, { cause: this.#fatal });
  }

  /** The node cannot go on: everything is settled, and whoever runs it is told. */
  #fail(cause: unknown): void {
    if (this.#fatal !== undefined || this.#stopped !== undefined) return;
    const error =
      cause instanceof RaftError
        ? cause
        : new RaftError('internal', `the node cannot go on: ${String(cause)}`, { cause });
    this.#fatal = error;
    this.#options.logger.error({ error }, 'the node has ended');
    const told = (): void => {
      if (this.emit('fatal', error)) return;
      // As with any emitter's `error`: not to be missed.
      setImmediate(() => {
        throw error;
      });
    };
    this.stop().then(told, told);
  }

  #settleAll(cause: RaftError | undefined): void {
    const why = cause === undefined ? 'the node was stopped' : `the node has ended: ${cause.message}`;
    this.#proposals.failAll(why, cause);
    this.#reads.failAll(new RaftError('stopped', why, { cause }));
    this.#handover.fail(new RaftError('stopped', why, { cause }));
  }
}
