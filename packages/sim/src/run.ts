/**
 * One seed, one run: the seed draws a cluster, its settings, its faults and its clients; the run lets them loose on each
 * other in virtual time, heals everything, wants progress, and judges what the clients saw.
 */
import { AssertionError, SeededRandom } from '@dcache/base';
import { checkLinearizable } from './checker/check.js';
import { type RegisterAction, registerModel } from './checker/model.js';
import { renderExplanation } from './checker/render.js';
import { type Check, Checkers, Violation } from './checkers.js';
import { keys, SimClient } from './clients.js';
import { Cluster } from './cluster.js';
import { type FaultPlan, Faults } from './faults.js';
import { HistoryRecorder } from './history.js';
import type { Mutation } from './mutation.js';
import { Operator } from './operator.js';
import { Scheduler } from './scheduler.js';
import { TraceLog } from './trace.js';
import type { NodeSettings } from './world.js';

export interface RunOptions {
  readonly seed: number;
  /** A bug to be made on purpose. Default none. */
  readonly mutation?: Mutation | undefined;
  /** Checks that are left out. Default none. */
  readonly without?: readonly Check[];
  /** Overrides what the seed draws. */
  readonly settings?: Partial<Omit<NodeSettings, 'mutation'>>;
  readonly faults?: Partial<FaultPlan>;
  /** Number of voters. Default: drawn. */
  readonly size?: number;
  /** Trace lines kept. Default 0; the digest is there always. */
  readonly traceLines?: number;
  /** Virtual time with faults. Default 4000. */
  readonly durationMs?: number;
}

export interface RunResult {
  readonly seed: number;
  /** Undefined where everything held. */
  readonly violation: { readonly check: Check; readonly message: string; readonly atMs: number } | undefined;
  /** Of everything that happened; equal for equal seeds. */
  readonly digest: string;
  readonly trace: readonly string[];
  readonly summary: RunSummary;
}

/** What a run went through, to see that it was no idle one. */
export interface RunSummary {
  readonly size: number;
  readonly isAsync: boolean;
  readonly isDurable: boolean;
  readonly elections: number;
  readonly committed: number;
  readonly operations: number;
  readonly delivered: number;
  readonly dropped: number;
  readonly changes: number;
  readonly crashes: number;
  /** How often each kind of fault was made. */
  readonly faults: ReadonlyMap<string, number>;
}

/** Virtual time in which a healed cluster has to be whole and every client served. */
const recoveryMs = 20_000;
/** Things done in one run before it counts as one that never ends. */
const maxTraceLines = 3_000_000;

/** Does not throw for what goes wrong inside the run: that is its result. */
export function simulate(options: RunOptions): RunResult {
  const trace = new TraceLog(options.traceLines ?? 0);
  const run = new Run(options, trace);
  let violation: RunResult['violation'];
  try {
    run.go();
  } catch (error) {
    const atMs = run.scheduler.nowMs;
    if (error instanceof Violation) violation = { check: error.check, message: error.message, atMs };
    else if (error instanceof Error) {
      const where = error instanceof AssertionError ? '' : `\n${error.stack}`;
      violation = { check: 'exception', message: `${error.name}: ${error.message}${where}`, atMs };
    } else throw error;
  }
  if (violation !== undefined) trace.add(violation.atMs, `VIOLATION ${violation.check}: ${violation.message}`);
  return { seed: options.seed, violation, digest: trace.digest(), trace: trace.lines(), summary: run.summary() };
}

class Run {
  readonly scheduler: Scheduler;
  readonly #options: RunOptions;
  readonly #trace: TraceLog;
  readonly #size: number;
  readonly #cluster: Cluster;
  readonly #checkers: Checkers;
  readonly #operator: Operator;
  readonly #faults: Faults;
  readonly #history = new HistoryRecorder<RegisterAction>();
  readonly #clients: SimClient[] = [];
  #contexts = 0;
  #clientIds = 0;
  #values = 0;

  constructor(options: RunOptions, trace: TraceLog) {
    const scheduler = new Scheduler(new SeededRandom(options.seed));
    this.scheduler = scheduler;
    this.#options = options;
    this.#trace = trace;
    const size = scheduler.pick([1, 2, 3, 3, 3, 3, 3, 4, 5, 5]);
    const settings = { ...drawSettings(scheduler), ...options.settings, mutation: options.mutation };
    const plan = { ...drawFaults(scheduler), ...options.faults };
    this.#size = options.size ?? size;
    this.#checkers = new Checkers({
      nodes: () => [...this.#cluster.nodes.values(), ...this.#cluster.graves],
      without: new Set(options.without),
    });
    this.#cluster = new Cluster(scheduler, settings, this.#checkers, trace);
    this.#operator = new Operator(this.#cluster, this.#size);
    this.#faults = new Faults(this.#cluster, this.#operator, plan);
    trace.add(0, `seed=${options.seed} size=${this.#size} ${JSON.stringify(settings)} ${JSON.stringify(plan)}`);
  }

  go(): void {
    const { scheduler } = this;
    this.#cluster.bootstrap(this.#size);
    this.#operator.start();
    for (let i = scheduler.below(3) + 2; i > 0; i--) this.#clients.push(this.#newClient());
    for (const client of this.#clients) client.start();
    this.#cluster.onElected = () => this.#probeLeaders();
    this.#faults.start();
    this.#runUntil(this.#options.durationMs ?? 4_000);
    for (const client of this.#clients) client.stop();
    this.#faults.heal();
    this.#recover();
    this.#judge();
  }

  summary(): RunSummary {
    const { settings, delivered, dropped } = this.#cluster;
    return {
      size: this.#size,
      isAsync: settings.isAsync,
      isDurable: settings.isDurable,
      elections: this.#checkers.elections,
      committed: this.#checkers.committedIndex,
      operations: this.#history.size,
      delivered,
      dropped,
      changes: this.#operator.changes,
      crashes: this.#cluster.crashes,
      faults: this.#faults.counts,
    };
  }

  #newClient(): SimClient {
    return new SimClient({
      scheduler: this.scheduler,
      history: this.#history,
      nodes: () => [...this.#cluster.nodes.values()],
      note: (text) => this.#cluster.note(text),
      nextContext: () => ++this.#contexts,
      nextClient: () => ++this.#clientIds,
      nextValue: () => String(++this.#values),
    });
  }

  /** A change of leaders is when a read goes wrong: every node that believes to lead is asked, the new one at once. */
  #probeLeaders(): void {
    const ask = (): void => {
      for (const node of this.#cluster.nodes.values())
        if (node.isLeader) this.#newClient().read(this.scheduler.pick(keys), () => {}, node);
    };
    this.scheduler.after(0, ask);
    this.scheduler.after(this.scheduler.between(0, 30), ask);
  }

  /** With nothing in the way the cluster becomes whole, serves every key, and every node catches up. */
  #recover(): void {
    const deadline = this.scheduler.nowMs + recoveryMs;
    this.#await(deadline, 'a leader and all members', () => this.#operator.isDone());
    this.#await(deadline, 'the clients to finish', () => this.#clients.every((client) => client.isIdle));
    const client = this.#newClient();
    for (const key of keys) {
      this.#serve(deadline, `a write of ${key}`, (done) => client.write(key, done));
      this.#serve(deadline, `a read of ${key}`, (done) => client.read(key, done));
    }
    this.#await(deadline, 'all members to apply the same', () => this.#isLevel());
  }

  /** Asks until it is answered: a healed cluster may still be electing. */
  #serve(deadlineMs: number, what: string, ask: (done: (ok: boolean) => void) => void): void {
    let isServed = false;
    const again = (): void =>
      ask((ok) => {
        if (ok) isServed = true;
        else if (this.scheduler.nowMs < deadlineMs) again();
      });
    again();
    this.#await(deadlineMs, what, () => isServed);
  }

  #isLevel(): boolean {
    const found = this.#cluster.leader();
    if (found === undefined) return false;
    const { commit, lastIndex, confState } = found.status;
    if (commit !== lastIndex) return false;
    return [...confState.voters, ...confState.learners].every(
      (id) => this.#cluster.nodes.get(id)?.machine.applied === commit,
    );
  }

  #await(deadlineMs: number, what: string, isTrue: () => boolean): void {
    while (!isTrue()) {
      if (this.scheduler.nowMs >= deadlineMs) throw new Violation('liveness', this.#stuck(what));
      this.#runUntil(Math.min(deadlineMs, this.scheduler.nowMs + 20));
    }
  }

  #stuck(what: string): string {
    const nodes = [...this.#cluster.nodes.values()].map((node) => {
      const status = node.status();
      if (status === undefined) return `${node.id} down`;
      const { term, role, leader, commit, applied, lastIndex } = status;
      return `${node.id} t${term} role ${role} leader ${leader} commit ${commit} applied ${applied} last ${lastIndex} voters ${node.confState.voters}`;
    });
    return `waited ${recoveryMs} ms without faults for ${what}: ${nodes.join('; ')}`;
  }

  #runUntil(endMs: number): void {
    this.scheduler.run(endMs, () => this.#trace.count > maxTraceLines);
    if (this.#trace.count > maxTraceLines) throw new Violation('liveness', 'the run does not end');
  }

  #judge(): void {
    const verdict = checkLinearizable(registerModel, this.#history.operations());
    if (!verdict.isLinearizable && this.#options.without?.includes('linearizability') !== true)
      throw new Violation('linearizability', renderExplanation(registerModel, verdict.explanation, 'event'));
  }
}

function drawSettings(scheduler: Scheduler): Omit<NodeSettings, 'mutation'> {
  const checkQuorum = scheduler.chance(0.8);
  return {
    isAsync: scheduler.chance(0.4),
    readOnly: 'safe',
    checkQuorum,
    preVote: checkQuorum && scheduler.chance(0.8),
    electionTicks: scheduler.pick([5, 10]),
    maxSizePerMessage: scheduler.pick([0, 64, 1024, 1024 * 1024]),
    maxCommittedSizePerReady: scheduler.pick([1, 64, 1024 * 1024]),
    maxInflightMessages: scheduler.pick([1, 3, 256]),
    isDurable: scheduler.chance(0.7),
  };
}

function drawFaults(scheduler: Scheduler): FaultPlan {
  const some = (): boolean => scheduler.chance(0.6);
  return {
    partitions: some(),
    crashes: some(),
    pauses: some(),
    clockSkew: some(),
    badNetwork: some(),
    badDisk: some(),
    transfers: some(),
    compactions: some(),
    membership: some(),
    intervalMs: scheduler.pick([50, 100, 200, 400]),
  };
}
