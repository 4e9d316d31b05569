import { EventEmitter } from 'node:events';
import { Applier } from './applier.js';
import { Compactor } from './compactor.js';
import { ConfChangeType, encodeConfChange } from './core/conf-change.js';
import type { LogReader } from './core/log-reader.js';
import {
  type ConfState,
  EntryType,
  localAppendThread,
  localApplyThread,
  type Message,
  MessageType,
  makeMessage,
  type NodeId,
  noBytes,
  noNode,
  Role,
  type SnapshotMetadata,
  type SoftState,
} from './core/message.js';
import { RawNode } from './core/raw-node.js';
import type { DropReason, Ready } from './core/ready.js';
import { RaftError } from './errors.js';
import { Histogram } from './histogram.js';
import { Lease } from './lease.js';
import { isAlreadySo, type MembershipChange, refusal, toConfChange } from './membership.js';
import { type RaftNodeOptions, type ResolvedOptions, resolveOptions } from './options.js';
import { PendingProposals } from './pending.js';
import { ReadBarriers } from './reads.js';
import { SnapshotExchange } from './snapshot-exchange.js';
import { type RaftEvents, type RaftStats, type RaftStatus, roleNames } from './status.js';

/**
 * One member of a cluster: the core with a clock, a log, a network and a state machine.
 *
 * All work is done in turns. Whatever comes between two turns of the event loop (proposals, messages, ticks, writes that
 * are done) goes into the core at once; the next turn takes out what the core wants of all that together: one write of
 * the log (group commit), one batch of messages to each node, one round for all reads. Writes of the log and the
 * application of entries go on beside, so heartbeats wait for neither. (Thesis §10.2)
 *
 * What cannot go on (a failed disk, a state machine that throws, a broken invariant) ends the node with `fatal`.
 */
export class RaftNode<Reply> extends EventEmitter<RaftEvents> {
  readonly id: NodeId;
  readonly #options: ResolvedOptions<Reply>;
  readonly #electionTimeoutMs: number;
  readonly #pending = new PendingProposals<Reply | ConfState | undefined>();
  readonly #applier: Applier<Reply>;
  readonly #compactor: Compactor;
  readonly #exchange: SnapshotExchange;
  readonly #reads: ReadBarriers;
  readonly #lease: Lease;
  #core: RawNode | undefined;
  #state: 'new' | 'starting' | 'running' | 'stopping' | 'stopped' = 'new';
  #fatal: RaftError | undefined;
  #stopTicks: () => void = () => {};
  #isScheduled = false;
  /** Messages of this turn, by receiver; the arrays are used again. */
  readonly #outbox = new Map<NodeId, Message[]>();
  #soft: SoftState = { leader: noNode, role: Role.follower };
  #commitIndex = 0;
  /** Term of the proposals that wait. */
  #proposalTerm = 0;
  /** Writes of the log that are under way, and since when the oldest of them may be. */
  #writes = 0;
  #writingSinceMs = Number.POSITIVE_INFINITY;
  #changesMembership = false;
  #transfer:
    | { readonly resolve: () => void; readonly reject: (error: RaftError) => void; deadlineMs: number }
    | undefined;
  /** No vote is given before this moment: see `#isVoteWithheld`. */
  #votesFromMs = Number.NEGATIVE_INFINITY;
  #lastTickMs = 0;
  readonly #commitLatency = new Histogram();
  readonly #appendLatency = new Histogram();
  readonly #counts = {
    proposals: 0,
    proposalsRefused: 0,
    leaderChanges: 0,
    messagesSent: 0,
    messagesReceived: 0,
    messagesRefused: 0,
    snapshotsSent: 0,
    snapshotsInstalled: 0,
    maxTickDelaySeconds: 0,
  };

  /** Throws a `TypeError` that names the option that is wrong. Does nothing yet: call `start`. */
  constructor(options: RaftNodeOptions<Reply>) {
    super();
    const resolved = resolveOptions(options);
    this.#options = resolved;
    this.id = resolved.id;
    this.#electionTimeoutMs = resolved.electionTicks * resolved.tickMs;
    this.#lease = new Lease(resolved.clock, resolved.leaseMs);
    this.#applier = new Applier({
      stateMachine: resolved.stateMachine,
      clock: resolved.clock,
      sliceMs: resolved.applySliceMs,
      applyConfEntry: (entry) => this.#running.applyConfEntry(entry),
      onApplied: (index, term, reply) => this.#onApplied(index, term, reply),
      onMembership: (change, confState, index) => this.emit('membership-change', { change, confState, index }),
    });
    this.#reads = this.#makeReads();
    this.#compactor = new Compactor({
      ...resolved,
      maxChunkBytes: resolved.snapshotChunkBytes,
      state: () => this.#applier.state,
      canSnapshot: () => this.#exchange.canSend,
      floor: () => this.#compactionFloor(),
    });
    this.#exchange = this.#makeExchange();
  }

  /**
   * Restores the state from the storage, opens the transport and begins to take part. Rejects with a `RaftError` when
   * what the storage has cannot be read; the node is stopped then.
   */
  async start(): Promise<void> {
    if (this.#state !== 'new') throw new RaftError('stopped', 'a node is started once');
    this.#state = 'starting';
    const { storage, transport, clock, tickMs } = this.#options;
    try {
      await this.#restoreState();
      const { hardState } = storage.initialState();
      // A node that is back may have promised a leader not to vote for others; it does not know any more until when.
      if (hardState.term > 0) this.#votesFromMs = clock.monotonicMs() + this.#electionTimeoutMs;
      await this.#bootstrap();
      this.#core = this.#makeCore();
    } catch (error) {
      this.#state = 'stopped';
      await storage.close();
      throw error;
    }
    this.#state = 'running';
    this.#commitIndex = this.#core.basicStatus().commit;
    transport.start({
      onMessages: (from, messages) => this.#guard(() => this.#onMessages(from, messages)),
      onSnapshotPiece: (from, piece) => this.#guard(() => this.#exchange.onPiece(from, piece)),
      onSnapshotAck: (from, ack) => this.#guard(() => this.#exchange.onAck(from, ack)),
      onConnect: (id) => this.#guard(() => this.#exchange.onConnect(id)),
      onUnreachable: (id) => this.#guard(() => this.#running.reportUnreachable(id)),
    });
    this.#lastTickMs = clock.monotonicMs();
    this.#stopTicks = clock.every(tickMs, () => this.#guard(() => this.#tick()));
    this.#guard(() => this.#campaignAlone());
  }

  /**
   * Ends taking part; what waits is rejected, what is being written is finished. Whoever wants to leave in order calls
   * `transferLeadership` before. Resolves when storage and transport are closed; may be called more than once.
   */
  async stop(): Promise<void> {
    if (this.#state === 'stopped' || this.#state === 'stopping') return;
    const wasNew = this.#state === 'new';
    this.#state = 'stopping';
    this.#settleAll(this.#fatal);
    this.#stopTicks();
    this.#exchange.stop();
    await this.#compactor.cancel();
    if (!wasNew) await this.#options.transport.stop();
    await this.#options.storage.close();
    this.#state = 'stopped';
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
    const refused = this.#proposalRefusal(data);
    if (refused !== undefined) return this.#refuse(refused);
    const { signal } = options;
    if (signal?.aborted === true)
      return this.#refuse(new RaftError('aborted', 'aborted before it was proposed', { cause: signal.reason }));
    const result = this.#running.propose(data);
    if (result.status !== 'appended') return this.#refuse(this.#dropError(result));
    this.#schedule();
    this.#counts.proposals++;
    // What is applied at this place with this term is this entry, so the reply is the state machine's.
    const reply = this.#wait(result.index, result.term, signal) as Promise<Reply>;
    return reply;
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
    const stopped = this.#stoppedError();
    if (stopped !== undefined) throw stopped;
    if (level === 'linearizable') return this.#reads.request();
    const { role, term } = this.#running;
    if (role !== Role.leader) throw this.#notLeader();
    if (this.#lease.isValid(term)) {
      if (this.#lease.isOld(term)) this.#reads.confirm();
      const index = this.#commitIndex;
      if (this.#applier.index >= index && this.#exchange.isWhole) return index;
      await this.#reads.applied(index);
      if (this.isLeaseValid()) return index;
    }
    return this.#reads.request();
  }

  /** Whether what was read now, after a `lease` barrier, is certain to be no older than the barrier. */
  isLeaseValid(): boolean {
    if (this.#state !== 'running') return false;
    const { role, term } = this.#running;
    return role === Role.leader && this.#lease.isValid(term);
  }

  /**
   * Changes one member and resolves with the members once the change is applied here; at once if nothing is to be
   * changed. Only on the leader, one at a time. Rejects with `refused`, `not-caught-up`, `busy`, or as `propose`.
   */
  async changeMembership(change: MembershipChange): Promise<ConfState> {
    const stopped = this.#stoppedError();
    if (stopped !== undefined) throw stopped;
    if (this.#running.role !== Role.leader) throw this.#notLeader();
    if (this.#changesMembership) throw new RaftError('busy', 'another membership change is under way');
    const status = this.#running.status();
    if (isAlreadySo(change, status.confState)) return status.confState;
    const refused = refusal(change, status, this.#options.maxPromotionLag);
    if (refused !== undefined) throw refused;
    const result = this.#running.proposeConfChange(toConfChange(change));
    if (result.status !== 'appended') throw this.#dropError(result);
    this.#schedule();
    if (result.refusal === 'invalid' || result.refusal === 'malformed')
      throw new RaftError('refused', 'the change does not fit the present members');
    if (result.refusal !== undefined)
      throw new RaftError('busy', 'an earlier membership change, or entry that may be one, is not applied yet');
    this.#changesMembership = true;
    try {
      return (await this.#wait(result.index, result.term, undefined)) as ConfState;
    } finally {
      this.#changesMembership = false;
    }
  }

  /**
   * Hands leadership to `to`, or to the voter that is furthest. Resolves when this node leads no more; rejects with
   * `busy` when that did not happen within an election timeout. (Thesis §3.10)
   */
  async transferLeadership(to?: NodeId): Promise<void> {
    const stopped = this.#stoppedError();
    if (stopped !== undefined) throw stopped;
    if (this.#running.role !== Role.leader) throw this.#notLeader();
    if (this.#transfer !== undefined) throw new RaftError('busy', 'leadership is being handed over already');
    const target = to ?? this.#bestSuccessor();
    const { voters } = this.#applier.state.confState;
    if (target === undefined || target === this.id || !voters.includes(target))
      throw new RaftError('refused', `leadership goes to another voter; ${String(target ?? 'there')} is none`);
    const core = this.#running;
    // The forced election that follows does not respect the lease, and its message may be late: no lease in this term.
    this.#lease.renounce(core.term);
    core.transferLeader(target);
    this.#schedule();
    const deadlineMs = this.#options.clock.monotonicMs() + 2 * this.#electionTimeoutMs;
    await new Promise<void>((resolve, reject) => {
      this.#transfer = { resolve, reject, deadlineMs };
    });
  }

  status(): RaftStatus {
    const { storage } = this.#options;
    const { index: appliedIndex, confState } = this.#applier.state;
    const base = {
      id: this.id,
      appliedIndex,
      confState,
      firstIndex: storage.firstIndex(),
      isReadable: this.#exchange.isWhole,
    };
    if (this.#core === undefined) {
      const { hardState } = storage.initialState();
      const lastIndex = storage.lastIndex();
      const { term, commit: commitIndex } = hardState;
      return { ...base, term, role: 'follower', leader: undefined, commitIndex, lastIndex, progress: [] };
    }
    const { term, role, leader, commit, lastIndex, peers } = this.#core.status();
    return {
      ...base,
      term,
      role: roleNames[role]!,
      leader: leader === noNode ? undefined : leader,
      commitIndex: commit,
      lastIndex,
      progress: peers.map(({ id, isLearner, matchIndex, state, recentActive }) => ({
        id,
        isLearner,
        matchIndex,
        state,
        isActive: id === this.id || recentActive,
      })),
    };
  }

  stats(): RaftStats {
    const { storage } = this.#options;
    return {
      ...this.#counts,
      pendingProposals: this.#pending.size,
      pendingReads: this.#reads.pending,
      readRounds: this.#reads.rounds,
      appliedEntries: this.#applier.appliedEntries,
      snapshotsWritten: this.#compactor.snapshots,
      logBytes: storage.sizeBytes,
      isDiskFull: storage.isFull,
      commitLatency: this.#commitLatency.snapshot(),
      appendLatency: this.#appendLatency.snapshot(),
    };
  }

  // ------------------------------------------------------------------------------------------------------- starting

  async #restoreState(): Promise<void> {
    const { storage, stateMachine } = this.#options;
    const stored = await storage.openSnapshot();
    if (stored === undefined) return;
    await stateMachine.restore(stored.chunks(), stored.metadata);
    this.#applier.restored(stored.metadata);
    this.#compactor.onSnapshot(stored.metadata.index);
  }

  /** A cluster begins with one committed entry that makes its founder a voter, so that it is in every log. */
  async #bootstrap(): Promise<void> {
    const { storage, bootstrap } = this.#options;
    const isEmpty = storage.lastIndex() === 0 && storage.initialState().hardState.term === 0;
    if (bootstrap === undefined || !isEmpty) return;
    const changes = [{ type: ConfChangeType.addNode, nodeId: this.id }];
    const data = encodeConfChange({ changes, context: bootstrap.context ?? noBytes });
    const entry = { index: 1, term: 1, type: EntryType.confChangeV2, data };
    await storage.append([entry], { term: 1, vote: noNode, commit: 1 });
  }

  #makeCore(): RawNode {
    const { storage, clock: _, ...options } = this.#options;
    const reader: LogReader = {
      initialState: () => storage.initialState(),
      firstIndex: () => storage.firstIndex(),
      lastIndex: () => storage.lastIndex(),
      term: (index) => storage.term(index),
      entries: (lo, hi, maxBytes) => storage.entries(lo, hi, maxBytes),
      // The state is not copied: a follower gets that of the moment when its transfer begins.
      snapshot: () => (this.#exchange.canSend ? { metadata: this.#applier.state, data: noBytes } : undefined),
    };
    return new RawNode({
      id: this.id,
      storage: reader,
      random: options.random,
      applied: this.#applier.index,
      electionTicks: options.electionTicks,
      heartbeatTicks: options.heartbeatTicks,
      preVote: true,
      checkQuorum: true,
      readOnly: 'safe',
      maxPendingReads: options.maxPendingReads,
      maxSizePerMessage: options.maxMessageBytes,
      maxCommittedSizePerReady: options.maxApplyingBytes,
      maxUncommittedSize: options.maxUncommittedBytes,
      maxInflightMessages: options.maxInflightMessages,
      maxInflightBytes: Math.max(options.maxInflightBytes, options.maxMessageBytes),
      asyncStorageWrites: true,
      disableProposalForwarding: true,
      stepDownOnRemoval: true,
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
      issue: (context) => this.#running.readIndex(context),
      now: () => ({ sent: this.#lease.now(), term: this.#running.term }),
      onConfirmed: (term, sent) => {
        const core = this.#running;
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
      term: () => this.#running.term,
      leader: () => {
        const { leader } = this.#running;
        return leader === noNode || leader === this.id ? undefined : leader;
      },
      onSent: (to, { index }, stateBytes) => {
        this.#counts.snapshotsSent++;
        this.emit('snapshot-sent', { to, index, stateBytes });
      },
      report: (to, ok) => {
        if (this.#state !== 'running') return;
        this.#running.reportSnapshot(to, ok);
        this.#schedule();
      },
      onRestored: (from, metadata) => this.#onRestored(from, metadata),
      step: (from, term, metadata) => this.#stepSnapshot(from, term, metadata),
      onHopeless: (error) => this.#fail(error),
    });
  }

  // ---------------------------------------------------------------------------------------------------------- turns

  get #running(): RawNode {
    if (this.#core === undefined) throw new RaftError('stopped', 'the node was not started');
    return this.#core;
  }

  /** Runs an event's work; what it throws ends the node. */
  #guard(run: () => void): void {
    if (this.#state !== 'running') return;
    try {
      run();
      this.#schedule();
    } catch (error) {
      this.#fail(error);
    }
  }

  #schedule(): void {
    if (this.#isScheduled || this.#state !== 'running') return;
    this.#isScheduled = true;
    this.#options.defer(() => {
      this.#isScheduled = false;
      if (this.#state !== 'running') return;
      try {
        this.#turn();
      } catch (error) {
        this.#fail(error);
      }
    });
  }

  #turn(): void {
    const core = this.#running;
    this.#reads.flush();
    while (core.hasReady()) this.#handle(core.ready());
    this.#sendOutbox();
    this.#applySlice();
    if (this.#exchange.isWhole) this.#reads.onApplied(this.#applier.index);
    if (core.hasReady()) this.#schedule();
  }

  #handle(ready: Ready): void {
    if (ready.hardState !== undefined) this.#commitIndex = ready.hardState.commit;
    if (ready.softState !== undefined) this.#onSoftState(ready.softState);
    for (const { index, context } of ready.readStates) this.#reads.onReadState(index, context);
    if (ready.readStates.length > 0 && this.#exchange.isWhole) this.#reads.onApplied(this.#applier.index);
    const heldVotes: Message[] = [];
    let write: Message | undefined;
    for (const message of ready.messages) {
      if (message.to === localAppendThread) write = message;
      else if (message.to === localApplyThread) this.#applier.push(message);
      else if (message.type === MessageType.snapshot) this.#exchange.send(message.to);
      else if (message.type === MessageType.vote) heldVotes.push(message);
      else this.#post(message);
    }
    if (write !== undefined) this.#write(write, heldVotes);
    else for (const message of heldVotes) this.#post(message);
  }

  /**
   * Writes to the log and lets the answers that rest on it leave when it is durable. A candidate's requests wait for it
   * too: they speak of a term and a log that a crash might take back, and an answer could then elect another log.
   */
  #write(message: Message, heldVotes: readonly Message[]): void {
    const { storage, clock } = this.#options;
    const { entries, snapshot, responses, term, vote, commit } = message;
    const hardState = term === 0 ? undefined : { term, vote, commit };
    const startMs = clock.monotonicMs();
    if (this.#writes++ === 0) this.#writingSinceMs = startMs;
    const written =
      snapshot === undefined ? storage.append(entries, hardState) : storage.applySnapshot(snapshot.metadata, hardState);
    written.then(
      () =>
        this.#guard(() => {
          // Writes are done in order, so the next of them has waited since no later than now.
          this.#writingSinceMs = --this.#writes === 0 ? Number.POSITIVE_INFINITY : clock.monotonicMs();
          if (entries.length > 0) this.#appendLatency.observe((clock.monotonicMs() - startMs) / 1000);
          this.#deliver(responses);
          for (const held of heldVotes) this.#post(held);
        }),
      (error: unknown) => this.#fail(error),
    );
  }

  /** Answers of a storage thread: to this node's core, or to others. */
  #deliver(responses: readonly Message[]): void {
    for (const response of responses) {
      if (response.to === this.id) this.#running.step(response);
      else this.#post(response);
    }
  }

  #post(message: Message): void {
    const messages = this.#outbox.get(message.to);
    if (messages === undefined) this.#outbox.set(message.to, [message]);
    else messages.push(message);
  }

  #sendOutbox(): void {
    for (const [to, messages] of this.#outbox) {
      if (messages.length === 0) continue;
      this.#counts.messagesSent += messages.length;
      this.#options.transport.send(to, messages);
      messages.length = 0;
    }
  }

  #applySlice(): void {
    if (this.#applier.isIdle || !this.#exchange.isWhole) return;
    const { done, bytes } = this.#applier.run();
    for (const message of done) this.#deliver(message.responses);
    this.#afterApply(bytes);
    if (!this.#applier.isIdle) this.#schedule();
  }

  #afterApply(bytes: number): void {
    this.#compactor.afterApply(bytes);
    this.#campaignAlone();
  }

  #onApplied(index: number, term: number, reply: Reply | ConfState | undefined): void {
    if (this.#pending.size === 0) return;
    const proposedAtMs = this.#pending.applied(index, term, reply);
    if (proposedAtMs !== undefined)
      this.#commitLatency.observe((this.#options.clock.monotonicMs() - proposedAtMs) / 1000);
  }

  /** The only voter need not wait for an election timeout: there is nobody whose election it could disturb. */
  #campaignAlone(): void {
    const core = this.#running;
    if (core.role !== Role.follower || core.leader !== noNode) return;
    const { voters, votersOutgoing } = this.#applier.state.confState;
    if (voters.length !== 1 || voters[0] !== this.id || votersOutgoing.length > 0) return;
    const { applied, commit } = core.basicStatus();
    if (applied === commit) core.campaign();
  }

  // --------------------------------------------------------------------------------------------------------- events

  #onMessages(from: NodeId, messages: readonly Message[]): void {
    const core = this.#running;
    for (const message of messages) {
      // Who speaks was proved by the connection; what it says must not speak for, or to, another.
      if (message.from !== from || message.to !== this.id || this.#isVoteWithheld(message)) {
        this.#counts.messagesRefused++;
        continue;
      }
      this.#counts.messagesReceived++;
      core.step(message);
    }
  }

  /**
   * A lease rests on its followers granting nobody a vote for an election timeout. One that restarted has forgotten
   * since when, so it waits a whole one; it could not win an election of its own any sooner.
   */
  #isVoteWithheld(message: Message): boolean {
    if (message.type !== MessageType.vote && message.type !== MessageType.preVote) return false;
    return this.#options.clock.monotonicMs() < this.#votesFromMs;
  }

  #tick(): void {
    const core = this.#running;
    const { clock, tickMs, electionTicks } = this.#options;
    const nowMs = clock.monotonicMs();
    const passedMs = nowMs - this.#lastTickMs;
    this.#lastTickMs = nowMs;
    this.#counts.maxTickDelaySeconds = Math.max(this.#counts.maxTickDelaySeconds, (passedMs - tickMs) / 1000);
    core.tick();
    // A leader that was stopped for an election timeout has been replaced by now, or will be. Its own clock of ticks does
    // not know that: let it check its quorum twice, which nobody has answered in between, so that it steps down. A
    // follower's ticks are never made up for: it would disturb a leader that it only has to read from.
    if (passedMs > this.#electionTimeoutMs)
      for (let i = 0; i < 2 * electionTicks && core.role === Role.leader; i++) core.tick();
    this.#reads.tick();
    this.#exchange.tick();
    this.#leaveIfStuck(nowMs);
    if (this.#pending.size > 0)
      this.#pending.expire(
        nowMs,
        (index) => new RaftError('unknown-outcome', `index ${index} was not applied in time`),
      );
    if (this.#transfer !== undefined && nowMs >= this.#transfer.deadlineMs) {
      this.#transfer.reject(new RaftError('busy', 'leadership was not taken over within two election timeouts'));
      this.#transfer = undefined;
    }
  }

  /** A leader whose disk hangs sends heartbeats and acknowledges nothing: another does better. */
  #leaveIfStuck(nowMs: number): void {
    const core = this.#running;
    if (core.role !== Role.leader || nowMs - this.#writingSinceMs < 2 * this.#electionTimeoutMs) return;
    const successor = this.#bestSuccessor();
    if (successor === undefined) return;
    this.#lease.renounce(core.term);
    core.transferLeader(successor);
  }

  #onSoftState(soft: SoftState): void {
    const before = this.#soft;
    this.#soft = soft;
    const { term } = this.#running;
    if (before.role === Role.leader && soft.role !== Role.leader) {
      this.#orphanProposals();
      this.#exchange.abortSending();
      this.#transfer?.resolve();
      this.#transfer = undefined;
    }
    if (soft.leader === before.leader) return;
    this.#counts.leaderChanges++;
    const leader = soft.leader === noNode ? undefined : soft.leader;
    this.#options.logger.info({ leader, term }, 'the leader changed');
    this.emit('leader-change', { leader, term });
  }

  /** What was proposed in a leadership that ended may still be applied; that is waited for, but not for long. */
  #orphanProposals(): void {
    const { clock, outcomeTimeoutMs } = this.#options;
    this.#pending.leadershipEnded(clock.monotonicMs() + outcomeTimeoutMs);
  }

  #stepSnapshot(from: NodeId, term: number, metadata: SnapshotMetadata): void {
    if (this.#state !== 'running') return;
    const snapshot = { metadata, data: noBytes };
    this.#running.step(makeMessage(MessageType.snapshot, this.id, { from, term, snapshot }));
    this.#schedule();
  }

  #onRestored(from: NodeId, metadata: SnapshotMetadata): void {
    const { index, term, confState } = metadata;
    this.#applier.restored(metadata);
    this.#compactor.onSnapshot(index);
    this.#pending.coveredBySnapshot(index);
    this.#counts.snapshotsInstalled++;
    this.#options.logger.info({ from, index }, 'a snapshot was installed');
    this.emit('snapshot-installed', { from, index, term });
    this.emit('membership-change', { change: { changes: [] }, confState, index });
    this.#schedule();
  }

  /** What members that answer still need of the log, or will when their snapshot has arrived. */
  #compactionFloor(): number | undefined {
    if (this.#running.role !== Role.leader) return undefined;
    let floor = this.#exchange.lowestSending;
    for (const { id, recentActive, state, matchIndex, pendingSnapshot } of this.#running.status().peers) {
      if (id === this.id || !recentActive) continue;
      const needed = state === 'snapshot' ? pendingSnapshot : matchIndex;
      if (floor === undefined || needed < floor) floor = needed;
    }
    return floor;
  }

  // --------------------------------------------------------------------------------------------------------- helpers

  /** Resolves with the reply to what is at (`index`, `term`). */
  #wait(index: number, term: number, signal: AbortSignal | undefined): Promise<Reply | ConfState | undefined> {
    const nowMs = this.#options.clock.monotonicMs();
    // Leadership can be lost and won again between two turns.
    if (term !== this.#proposalTerm) this.#orphanProposals();
    this.#proposalTerm = term;
    return new Promise((resolve, reject) => {
      const abort = (): void =>
        give(new RaftError('aborted', `aborted while index ${index} was in flight`, { cause: signal?.reason }));
      const give = this.#pending.add(
        index,
        term,
        nowMs,
        nowMs + this.#options.proposalTimeoutMs,
        (reply) => {
          signal?.removeEventListener('abort', abort);
          resolve(reply);
        },
        (error) => {
          signal?.removeEventListener('abort', abort);
          reject(error);
        },
      );
      signal?.addEventListener('abort', abort, { once: true });
    });
  }

  #proposalRefusal(data: Uint8Array): RaftError | undefined {
    const { maxProposalBytes, maxPendingProposals, storage } = this.#options;
    const stopped = this.#stoppedError();
    if (stopped !== undefined) return stopped;
    if (!(data instanceof Uint8Array) || data.length === 0)
      throw new TypeError("data takes a Uint8Array of at least one byte: an empty entry is the core's own");
    if (data.length > maxProposalBytes)
      return new RaftError('too-large', `a proposal of ${data.length} bytes; at most ${maxProposalBytes} are allowed`);
    if (this.#running.role !== Role.leader) return this.#notLeader();
    if (storage.isFull) return new RaftError('disk-full', 'there is no room for more log on the disk');
    if (this.#pending.size >= maxPendingProposals)
      return new RaftError('busy', `${this.#pending.size} proposals wait; at most ${maxPendingProposals} may`);
    return undefined;
  }

  #refuse(error: RaftError): Promise<never> {
    this.#counts.proposalsRefused++;
    return Promise.reject(error);
  }

  #dropError(
    result: { readonly status: 'forwarded' } | { readonly status: 'dropped'; readonly reason: DropReason },
  ): RaftError {
    if (result.status === 'forwarded') return this.#notLeader();
    switch (result.reason) {
      case 'transferring':
        return new RaftError('busy', 'leadership is being handed over');
      case 'too-much-uncommitted':
        return new RaftError('busy', `${this.#options.maxUncommittedBytes} bytes wait to be committed already`);
      default:
        return this.#notLeader();
    }
  }

  #notLeader(): RaftError {
    const { leader, role } = this.#running;
    if (leader === noNode || role === Role.leader) return new RaftError('no-leader', 'no leader is known');
    return new RaftError('not-leader', `node ${leader} leads`, { leader });
  }

  #stoppedError(): RaftError | undefined {
    if (this.#state === 'running') return undefined;
    return new RaftError('stopped', `the node is ${this.#state}`, { cause: this.#fatal });
  }

  #bestSuccessor(): NodeId | undefined {
    const peers = this.#running.status().peers.filter((peer) => peer.id !== this.id && !peer.isLearner);
    const active = peers.filter((peer) => peer.recentActive);
    const candidates = active.length > 0 ? active : peers;
    return candidates.reduce<(typeof peers)[number] | undefined>(
      (best, peer) => (best === undefined || peer.matchIndex > best.matchIndex ? peer : best),
      undefined,
    )?.id;
  }

  /** The node cannot go on: everything is settled, and whoever runs it is told. */
  #fail(cause: unknown): void {
    if (this.#fatal !== undefined || this.#state === 'stopping' || this.#state === 'stopped') return;
    const error =
      cause instanceof RaftError ? cause : new RaftError('io', `the node cannot go on: ${String(cause)}`, { cause });
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
    this.#pending.failAll(
      (index) => new RaftError('unknown-outcome', `index ${index} was in flight when ${why}`, { cause }),
    );
    this.#reads.failAll(new RaftError('stopped', why, { cause }));
    this.#transfer?.reject(new RaftError('stopped', why, { cause }));
    this.#transfer = undefined;
  }
}
