import { EventEmitter } from 'node:events';
import { systemClock } from '@dcache/base';
import { type ConfState, type NodeId, Role } from './core/message.js';
import type { CoreLoop } from './core-loop.js';
import { RaftError } from './errors.js';
import { bestSuccessor, isAlreadySo, type MembershipChange, refusal, toConfChange } from './membership.js';
import { type RaftNodeOptions, type ResolvedOptions, resolveOptions } from './options.js';
import { changeRefusal, notLeader, placeOf } from './refusals.js';
import { foundCluster } from './startup.js';
import type { RaftEvents, RaftStats, RaftStatus } from './status.js';
import { Works } from './works.js';

/**
 * One member of a cluster: the core with a clock, a log, a network and a state machine.
 *
 * This file says what a caller may ask for and when it is answered; what does the work is put together in `works.ts`.
 *
 * What cannot go on (a failed disk, a state machine that throws, a broken invariant) ends the node with `fatal`.
 */
export class RaftNode<Reply> extends EventEmitter<RaftEvents> {
  readonly id: NodeId;
  readonly #options: ResolvedOptions<Reply>;
  readonly #works: Works<Reply>;
  #state: 'new' | 'starting' | 'running' | 'stopping' | 'stopped' = 'new';
  #fatal: RaftError | undefined;
  #stopped: Promise<void> | undefined;
  #stopTicks: () => void = () => {};
  #changesMembership = false;
  readonly #counts = { proposals: 0, proposalsRefused: 0 };

  /** Throws a `TypeError` that names the option that is wrong. Does nothing yet: call `start`. */
  constructor(options: RaftNodeOptions<Reply>) {
    super();
    this.#options = resolveOptions(options);
    this.id = this.#options.id;
    this.#works = new Works(this.#options, this, (cause) => this.#fail(cause));
  }

  /**
   * Restores the state from the storage, opens the transport and begins to take part; the process stays alive until
   * `stop`. Rejects with a `RaftError` when what the storage has cannot be read; the node is stopped then.
   */
  async start(): Promise<void> {
    if (this.#state !== 'new') throw new RaftError('stopped', 'a node is started once');
    this.#state = 'starting';
    let loop: CoreLoop;
    try {
      await this.#works.restore();
      const { storage, bootstrap } = this.#options;
      if (bootstrap !== undefined) await foundCluster(storage, this.id, bootstrap.context);
      loop = this.#works.prepare();
    } catch (error) {
      await this.stop();
      throw error;
    }
    if (this.#stopped !== undefined) throw new RaftError('stopped', 'the node was stopped while it started');
    this.#state = 'running';
    this.#works.begin(loop);
    const { clock, tickMs } = this.#options;
    const stopTicks = clock.every(tickMs, () => this.#works.tick());
    // The clock lets a process end while its timers wait; a member of a cluster stays until it is stopped.
    const stayAlive = clock === systemClock ? setInterval(() => {}, 2 ** 30) : undefined;
    this.#stopTicks = () => {
      stopTicks();
      clearInterval(stayAlive);
    };
    this.#works.wake();
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
      const { index, term } = placeOf(this.#works.core, this.#works.core.propose(data));
      this.#works.schedule();
      this.#counts.proposals++;
      // What is applied at this place with this term is this entry, so the reply is the state machine's.
      return this.#works.proposals.wait(index, term, signal) as Promise<Reply>;
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
    if (level === 'linearizable') return this.#works.reads.request();
    const { role, term } = this.#works.core;
    if (role !== Role.leader) throw notLeader(this.#works.core);
    if (this.#works.lease.isValid(term)) {
      if (this.#works.lease.isOld(term)) this.#works.reads.confirm();
      const index = this.#works.loop.commitIndex;
      if (this.#works.applier.index >= index && this.#works.exchange.isWhole) return index;
      await this.#works.reads.applied(index);
      if (this.isLeaseValid()) return index;
    }
    return this.#works.reads.request();
  }

  /** Whether what was read now, after a `lease` barrier, is certain to be no older than the barrier. */
  isLeaseValid(): boolean {
    if (this.#state !== 'running') return false;
    const { role, term } = this.#works.core;
    return role === Role.leader && this.#works.lease.isValid(term);
  }

  /**
   * Changes one member and resolves with the members once the change is applied here; at once if nothing is to be
   * changed. Only on the leader, one at a time. Rejects with `refused`, `not-caught-up`, `busy`, or as `propose`.
   */
  async changeMembership(change: MembershipChange): Promise<ConfState> {
    this.#assertRunning();
    if (this.#works.core.role !== Role.leader) throw notLeader(this.#works.core);
    if (this.#changesMembership) throw new RaftError('busy', 'another membership change is under way');
    const { core } = this.#works;
    const status = core.status();
    if (isAlreadySo(change, status.confState)) return status.confState;
    const refused = refusal(change, status, this.#options.maxPromotionLag) ?? changeRefusal(core, toConfChange(change));
    if (refused !== undefined) throw refused;
    const place = placeOf(core, core.proposeConfChange(toConfChange(change)));
    this.#works.schedule();
    this.#changesMembership = true;
    try {
      return (await this.#works.proposals.wait(place.index, place.term)) as ConfState;
    } finally {
      this.#changesMembership = false;
    }
  }

  /**
   * Hands leadership to `to`, or to the voter that is furthest, of those whose disk has room if any has. Resolves when this
   * node leads no more; rejects with `disk-full` where that of `to` has none, and with `busy` when leadership was not taken
   * within two election timeouts. (Thesis §3.10)
   */
  async transferLeadership(to?: NodeId): Promise<void> {
    this.#assertRunning();
    if (this.#works.core.role !== Role.leader) throw notLeader(this.#works.core);
    if (this.#works.handover.isUnderWay) throw new RaftError('busy', 'leadership is being handed over already');
    const target = to ?? bestSuccessor(this.#works.core.status());
    const { voters } = this.#works.applier.state.confState;
    if (target === undefined || target === this.id || !voters.includes(target))
      throw new RaftError('refused', `leadership goes to another voter; ${String(target ?? 'there')} is none`);
    if (to !== undefined && this.#works.core.status().peers.some(({ id, hasRoom }) => id === to && hasRoom === false))
      throw new RaftError('disk-full', `the disk of node ${to} is full: as leader it could take no writes`, {
        full: [to],
      });
    this.#works.transfer(target);
    await this.#works.handover.begin(2 * this.#works.electionTimeoutMs);
  }

  status(): RaftStatus {
    return this.#works.status();
  }

  stats(): RaftStats {
    return { ...this.#counts, ...this.#works.stats() };
  }

  async #stop(): Promise<void> {
    this.#state = 'stopping';
    this.#works.end(this.#fatal);
    this.#stopTicks();
    // Others hear no more of this node, even if its disk hangs.
    if (this.#works.hasBegun) await this.#options.transport.stop();
    await this.#works.compactor.cancel();
    await this.#options.storage.close();
    this.#state = 'stopped';
  }

  #assertProposable(data: Uint8Array, signal: AbortSignal | undefined): void {
    this.#assertRunning();
    const refused = this.#works.proposals.refusal(data);
    if (this.#works.core.role !== Role.leader) throw notLeader(this.#works.core);
    const short = this.#works.room.refusal();
    if (short !== undefined) throw short;
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
    this.#options.logger.error({ err: error }, 'the node has ended');
    const told = (): void => {
      if (this.emit('fatal', error)) return;
      // As with any emitter's `error`: not to be missed.
      setImmediate(() => {
        throw error;
      });
    };
    this.stop().then(told, told);
  }
}
