/**
 * The same for the driver: whole `RaftNode`s with their log on a simulated disk, byte for byte, their connections, timers
 * and promises, in virtual time. What `../run.ts` drives by itself, the real code does here.
 */
import { SeededRandom } from '@dcache/base';
import type { MembershipChange, NodeId, RaftStatus } from '@dcache/raft';
import { checkLinearizable } from '../checker/check.js';
import { type RegisterAction, registerModel } from '../checker/model.js';
import { renderExplanation } from '../checker/render.js';
import { Violation } from '../checkers.js';
import { keys } from '../clients.js';
import { HistoryRecorder } from '../history.js';
import { goodNetwork } from '../network.js';
import type { RunResult } from '../run.js';
import { Scheduler } from '../scheduler.js';
import { TraceLog } from '../trace.js';
import { DriverClient } from './clients.js';
import { Connections } from './connections.js';
import { Member } from './member.js';

export interface DriverRunOptions {
  readonly seed: number;
  /** Trace lines kept. Default 0. */
  readonly traceLines?: number;
  /** Virtual time with faults. Default 3000. */
  readonly durationMs?: number;
  /** Default drawn. */
  readonly size?: number;
  /** Default drawn. */
  readonly isDurable?: boolean;
}

export interface DriverRunResult extends Omit<RunResult, 'summary'> {
  readonly summary: {
    readonly size: number;
    readonly isDurable: boolean;
    readonly usesLease: boolean;
    readonly operations: number;
    readonly crashes: number;
    readonly changes: number;
    readonly snapshots: number;
    readonly delivered: number;
    readonly dropped: number;
  };
}

const recoveryMs = 20_000;

/** Does not reject for what goes wrong inside the run: that is its result. */
export async function simulateDriver(options: DriverRunOptions): Promise<DriverRunResult> {
  const run = new DriverRun(options);
  let violation: RunResult['violation'];
  try {
    await run.go();
  } catch (error) {
    const check = error instanceof Violation ? error.check : 'exception';
    const message = error instanceof Violation ? error.message : String((error as Error).stack ?? error);
    violation = { check, message, atMs: run.scheduler.nowMs };
    run.trace.add(violation.atMs, `VIOLATION ${check}: ${message}`);
  }
  run.end();
  const { trace } = run;
  return { seed: options.seed, violation, digest: trace.digest(), trace: trace.lines(), summary: run.summary() };
}

class DriverRun {
  readonly scheduler: Scheduler;
  readonly trace: TraceLog;
  readonly #options: DriverRunOptions;
  readonly #size: number;
  readonly #isDurable: boolean;
  readonly #usesLease: boolean;
  readonly #connections: Connections;
  readonly #members = new Map<NodeId, Member>();
  readonly #history = new HistoryRecorder<RegisterAction>();
  readonly #clients: DriverClient[] = [];
  /** Hash of the state after each index. */
  readonly #states = new Map<number, number>();
  /** Nodes in memory that ended: they never come back. */
  readonly #dead = new Set<NodeId>();
  #violation: Violation | undefined;
  #lastId = 0;
  #clientIds = 0;
  #values = 0;
  #waiting = 0;
  #changes = 0;
  #crashes = 0;
  #snapshots = 0;
  #isChanging = false;
  #isHealed = false;
  #maxSyncMs = 1;

  constructor(options: DriverRunOptions) {
    const scheduler = new Scheduler(new SeededRandom(options.seed));
    this.scheduler = scheduler;
    this.#options = options;
    this.trace = new TraceLog(options.traceLines ?? 0);
    this.#size = options.size ?? scheduler.pick([1, 2, 3, 3, 3, 5]);
    this.#isDurable = options.isDurable ?? scheduler.chance(0.7);
    this.#usesLease = scheduler.chance(0.6);
    this.#connections = new Connections(scheduler, (text) => this.#note(text));
    this.#note(`seed=${options.seed} size=${this.#size} durable=${this.#isDurable} lease=${this.#usesLease}`);
  }

  async go(): Promise<void> {
    this.#add().start(true);
    const { scheduler } = this;
    this.#operate();
    for (let i = scheduler.below(3) + 2; i > 0; i--) this.#clients.push(this.#newClient());
    for (const client of this.#clients) this.#watch(client.work());
    await this.#await(scheduler.nowMs + recoveryMs, 'the cluster to be founded', () => this.#isWhole());
    this.#trouble();
    await this.#work(scheduler.nowMs + (this.#options.durationMs ?? 3_000));
    for (const client of this.#clients) client.stop();
    this.#heal();
    await this.#recover();
    this.#judge();
  }

  /** Lets go of everything, so that nothing of this run is left in the event loop. */
  end(): void {
    for (const { process } of this.#members.values()) process?.end();
  }

  summary(): DriverRunResult['summary'] {
    return {
      size: this.#size,
      isDurable: this.#isDurable,
      usesLease: this.#usesLease,
      operations: this.#history.size,
      crashes: this.#crashes,
      changes: this.#changes,
      snapshots: this.#snapshots,
      delivered: this.#connections.delivered,
      dropped: this.#connections.dropped,
    };
  }

  #note(text: string): void {
    this.trace.add(this.scheduler.nowMs, text);
  }

  #fail(violation: Violation): void {
    this.#violation ??= violation;
  }

  /** A promise that must not reject. */
  #watch(promise: Promise<unknown>): void {
    promise.catch((error: unknown) => this.#fail(new Violation('exception', String((error as Error).stack ?? error))));
  }

  /** Does what is due until `endMs`; between two things all promises that can go on do. */
  async #work(endMs: number): Promise<void> {
    while (this.scheduler.step(endMs)) {
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#violation !== undefined) throw this.#violation;
    }
  }

  async #await(deadlineMs: number, what: string, isTrue: () => boolean): Promise<void> {
    while (!isTrue()) {
      if (this.scheduler.nowMs >= deadlineMs) throw new Violation('liveness', this.#stuck(what));
      await this.#work(Math.min(deadlineMs, this.scheduler.nowMs + 20));
    }
  }

  #stuck(what: string): string {
    const nodes = [...this.#members.values()].map((member) => {
      const status = member.node?.status();
      if (status === undefined) return `${member.id} down`;
      const { term, role, leader, commitIndex, appliedIndex, lastIndex, confState } = status;
      return `${member.id} t${term} ${role} leader ${leader} commit ${commitIndex} applied ${appliedIndex} last ${lastIndex} voters ${confState.voters} learners ${confState.learners}`;
    });
    return `waited ${recoveryMs} ms for ${what}: ${nodes.join('; ')}`;
  }

  #add(): Member {
    const { scheduler } = this;
    const member = new Member(++this.#lastId, {
      scheduler,
      connections: this.#connections,
      isDurable: this.#isDurable,
      // The lease of the driver allows for clocks that differ by a fifth.
      clockRate: () => (this.#usesLease ? scheduler.between(0.92, 1.08) : scheduler.between(0.6, 1.6)),
      syncMs: () => scheduler.between(0.1, this.#maxSyncMs),
      note: (text) => this.#note(text),
      applied: (id, machine) => this.#applied(id, machine.applied, machine.hash),
      fail: (violation) => this.#fail(violation),
    });
    this.#members.set(member.id, member);
    return member;
  }

  #applied(id: NodeId, index: number, hash: number): void {
    const known = this.#states.get(index);
    if (known === undefined) this.#states.set(index, hash);
    else if (known !== hash)
      this.#fail(new Violation('state-machine-safety', `node ${id} has another state at index ${index}`));
  }

  #newClient(): DriverClient {
    return new DriverClient({
      scheduler: this.scheduler,
      history: this.#history,
      usesLease: this.#usesLease,
      members: () => [...this.#members.values()],
      note: (text) => this.#note(text),
      nextClient: () => ++this.#clientIds,
      nextValue: () => String(++this.#values),
      waiting: (change) => {
        this.#waiting += change;
      },
    });
  }

  // The operator: one change at a time, by whoever leads.

  #operate(): void {
    this.scheduler.after(this.scheduler.between(40, 120), () => {
      this.#operate();
      if (!this.#isChanging) this.#watch(this.#changeOne());
    });
  }

  #leader(): { readonly member: Member; readonly status: RaftStatus } | undefined {
    let best: { member: Member; status: RaftStatus } | undefined;
    for (const member of this.#members.values()) {
      if (member.node === undefined || member.process?.isPaused) continue;
      const status = member.node.status();
      if (status.role === 'leader' && (best === undefined || status.term > best.status.term)) best = { member, status };
    }
    return best;
  }

  async #changeOne(): Promise<void> {
    const found = this.#leader();
    if (found === undefined) return;
    const { member, status } = found;
    const change = this.#nextChange(status);
    if (change === undefined) return;
    this.#isChanging = true;
    const ended = new Promise<string>((resolve) => member.process!.onEnd(() => resolve('the process ended')));
    const asked = member.node!.changeMembership(change).then(
      ({ voters, learners }) => {
        this.#changes++;
        return `voters ${voters} learners ${learners}`;
      },
      (error: Error) => error.message,
    );
    this.#note(`change ${change.type} ${change.id} by ${member.id}: ${await Promise.race([asked, ended])}`);
    this.#isChanging = false;
  }

  #nextChange({ confState }: RaftStatus): MembershipChange | undefined {
    const { scheduler } = this;
    const { voters, learners } = confState;
    const members = [...voters, ...learners];
    const gone = members.find((id) => this.#dead.has(id));
    const [learner] = learners.filter((id) => id !== gone);
    if (learner !== undefined) return { type: 'promote', id: learner };
    const living = voters.filter((id) => !this.#dead.has(id)).length;
    if (living < this.#size) {
      const spare = [...this.#members.values()].find(
        ({ id, isUp }) => isUp && !members.includes(id) && id > Math.max(...members),
      );
      const joining = spare ?? this.#add();
      if (!joining.isUp) joining.start(false);
      return { type: 'add-learner', id: joining.id };
    }
    if (gone !== undefined) return { type: 'remove', id: gone };
    if (voters.length > this.#size) return { type: 'remove', id: scheduler.pick(voters) };
    if (this.#isHealed || this.#size < 2 || !scheduler.chance(0.05)) return undefined;
    return { type: 'remove', id: scheduler.pick(voters) };
  }

  /** The wanted members, all up and level, and nothing of any other in a log. */
  #isWhole(): boolean {
    const found = this.#leader();
    if (found === undefined || this.#isChanging) return false;
    const { voters, learners } = found.status.confState;
    if (voters.length !== this.#size || learners.length > 0) return false;
    return voters.every((id) => {
      const status = this.#members.get(id)?.node?.status();
      return (
        status !== undefined &&
        status.appliedIndex === status.lastIndex &&
        status.appliedIndex === found.status.lastIndex &&
        status.confState.voters.join() === voters.join()
      );
    });
  }

  // Faults.

  #trouble(): void {
    this.scheduler.after(this.scheduler.between(0, 200), () => {
      if (this.#isHealed) return;
      this.#fault();
      this.#trouble();
    });
  }

  #fault(): void {
    const { scheduler } = this;
    const up = [...this.#members.values()].filter(({ node }) => node !== undefined);
    if (up.length === 0) return;
    const leader = this.#leader()?.member;
    const member = leader !== undefined && scheduler.chance(0.4) ? leader : scheduler.pick(up);
    const ids = [...this.#members.keys()];
    const others = ids.filter((id) => id !== member.id);
    const fault = scheduler.pick([
      'heal',
      'split',
      'isolate',
      'one-way',
      'crash',
      'crash',
      'pause',
      'network',
      'disk',
      'jump',
      'transfer',
    ]);
    this.#note(`fault ${fault} ${member.id}`);
    switch (fault) {
      case 'heal':
        this.#connections.heal();
        return;
      case 'split': {
        const one = ids.filter(() => scheduler.chance(0.5));
        this.#connections.partition(
          one,
          ids.filter((id) => !one.includes(id)),
        );
        return;
      }
      case 'isolate':
        this.#connections.partition([member.id], others);
        return;
      case 'one-way': {
        const isDeaf = scheduler.chance(0.5);
        for (const id of others) this.#connections.cut(isDeaf ? id : member.id, isDeaf ? member.id : id);
        return;
      }
      case 'crash':
        this.#crash(member);
        return;
      case 'pause':
        member.process?.pause(scheduler.between(5, 500));
        return;
      case 'network':
        this.#connections.quality = {
          loss: scheduler.chance(0.5) ? scheduler.between(0, 0.1) : 0,
          duplication: 0,
          minDelayMs: 0.3,
          maxDelayMs: scheduler.between(1, 40),
          stragglers: scheduler.chance(0.5) ? scheduler.between(0, 0.05) : 0,
        };
        return;
      case 'disk':
        this.#maxSyncMs = scheduler.between(0.5, 30);
        return;
      case 'jump':
        member.process?.jump(scheduler.between(-5_000, 5_000));
        return;
      case 'transfer':
        member.node?.transferLeadership().catch(() => {});
        return;
    }
  }

  #crash(member: Member): void {
    if (!this.#isDurable) {
      // A cluster in memory survives the loss of a minority, and is made whole again before the next.
      if (this.#size < 3 || this.#dead.size > 0 || !this.#isWhole()) return;
      this.#dead.add(member.id);
    }
    this.#crashes++;
    member.crash();
    if (this.#isDurable && this.scheduler.chance(0.8))
      this.scheduler.after(this.scheduler.between(1, 400), () => this.#restart(member));
  }

  #restart(member: Member): void {
    if (!member.isUp && !this.#dead.has(member.id)) member.start(false);
  }

  #heal(): void {
    this.#note('heal everything');
    this.#isHealed = true;
    this.#connections.heal();
    this.#connections.quality = goodNetwork;
    this.#maxSyncMs = 1;
    for (const member of this.#members.values()) {
      member.process?.resume();
      this.#restart(member);
    }
  }

  async #recover(): Promise<void> {
    const deadline = this.scheduler.nowMs + recoveryMs;
    await this.#await(deadline, 'the clients to finish', () => this.#clients.every((client) => client.isIdle));
    const client = this.#newClient();
    for (const key of keys) {
      await this.#serve(deadline, `a write of ${key}`, () => client.write(key));
      await this.#serve(deadline, `a read of ${key}`, () => client.read(key));
    }
    await this.#await(deadline, 'all members to be level', () => this.#isWhole());
    await this.#await(deadline, 'every promise to be settled', () => this.#waiting === 0);
    for (const { node } of this.#members.values()) this.#snapshots += node?.stats().snapshotsInstalled ?? 0;
  }

  async #serve(deadlineMs: number, what: string, ask: () => Promise<boolean>): Promise<void> {
    let isServed = false;
    const serve = async (): Promise<void> => {
      while (!isServed && this.scheduler.nowMs < deadlineMs) isServed = await ask();
    };
    this.#watch(serve());
    await this.#await(deadlineMs, what, () => isServed);
  }

  #judge(): void {
    const verdict = checkLinearizable(registerModel, this.#history.operations());
    if (!verdict.isLinearizable)
      throw new Violation('linearizability', renderExplanation(registerModel, verdict.explanation, 'event'));
  }
}
