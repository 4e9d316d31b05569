/**
 * The same for the driver: whole `RaftNode`s with their log on a simulated disk, byte for byte, their connections, timers
 * and promises, in virtual time. What `../run.ts` drives by itself, the real code does here.
 */
import { SeededRandom } from '@dcache/base';
import type { RaftErrorCode } from '@dcache/raft';
import { checkLinearizable } from '../checker/check.js';
import { type RegisterAction, registerModel } from '../checker/model.js';
import { renderExplanation } from '../checker/render.js';
import { Violation } from '../checkers.js';
import { keys } from '../clients.js';
import { HistoryRecorder } from '../history.js';
import type { RunResult } from '../run.js';
import { Scheduler } from '../scheduler.js';
import { TraceLog } from '../trace.js';
import { DriverClient } from './clients.js';
import { DriverCluster, type DriverMutation, type DriverSettings } from './cluster.js';
import { allFaults, type DriverFault, DriverFaults } from './faults.js';
import { DriverOperator } from './operator.js';

export interface DriverRunOptions {
  readonly seed: number;
  /** Trace lines kept. Default 0. */
  readonly traceLines?: number;
  /** Virtual time with faults. Default 3000. */
  readonly durationMs?: number;
  /** Number of voters. Default: drawn. */
  readonly size?: number;
  /** Default drawn. */
  readonly isDurable?: boolean;
  /** Whether members that nothing ails are replaced, now and then. Default true. */
  readonly isRestless?: boolean;
  /** What may go wrong, each as often as it is listed. Default everything. */
  readonly faults?: readonly DriverFault[];
  /** Default none. */
  readonly mutation?: DriverMutation | undefined;
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
    /** How often clients were answered with which code of an error. */
    readonly told: Readonly<Partial<Record<RaftErrorCode, number>>>;
    readonly delivered: number;
    readonly dropped: number;
  };
}

/** Virtual time in which a healed cluster has to be whole and every client served. */
const recoveryMs = 20_000;

/** Does not reject for what goes wrong inside the run: that is its result. */
export async function simulateDriver(options: DriverRunOptions): Promise<DriverRunResult> {
  const run = new DriverRun(options);
  const { trace } = run;
  let violation: RunResult['violation'];
  try {
    await run.go();
  } catch (error) {
    const check = error instanceof Violation ? error.check : 'exception';
    const message = error instanceof Violation ? error.message : String((error as Error).stack ?? error);
    violation = { check, message, atMs: run.scheduler.nowMs };
    trace.add(violation.atMs, `VIOLATION ${check}: ${message}`);
  }
  run.end();
  return { seed: options.seed, violation, digest: trace.digest(), trace: trace.lines(), summary: run.summary() };
}

class DriverRun {
  readonly scheduler: Scheduler;
  readonly trace: TraceLog;
  readonly #durationMs: number;
  readonly #settings: DriverSettings;
  readonly #cluster: DriverCluster;
  readonly #operator: DriverOperator;
  readonly #faults: DriverFaults;
  readonly #history = new HistoryRecorder<RegisterAction>();
  readonly #clients: DriverClient[] = [];
  readonly #valueLength: number;
  #clientIds = 0;
  #values = 0;
  /** Promises of nodes that clients wait for. */
  #waiting = 0;
  #snapshots = 0;
  readonly #told: Partial<Record<RaftErrorCode, number>> = {};

  constructor(options: DriverRunOptions) {
    const scheduler = new Scheduler(new SeededRandom(options.seed));
    const { mutation } = options;
    const size = scheduler.pick([1, 2, 3, 3, 3, 5]);
    const isDurable = scheduler.chance(0.7);
    const usesLease = scheduler.chance(0.6) || mutation === 'lease-with-wild-clocks';
    this.scheduler = scheduler;
    this.trace = new TraceLog(options.traceLines ?? 0);
    this.#valueLength = scheduler.pick([0, 500, 4000]);
    this.#durationMs = options.durationMs ?? 3_000;
    this.#settings = { size: options.size ?? size, isDurable: options.isDurable ?? isDurable, usesLease, mutation };
    this.#cluster = new DriverCluster(scheduler, this.#settings, this.trace);
    this.#operator = new DriverOperator(this.#cluster);
    this.#operator.isRestless = options.isRestless ?? true;
    this.#faults = new DriverFaults(this.#cluster, this.#operator, options.faults ?? allFaults);
    this.#cluster.note(`seed=${options.seed} ${JSON.stringify(this.#settings)}`);
  }

  async go(): Promise<void> {
    const { scheduler } = this;
    this.#cluster.add().start(true);
    this.#operator.start();
    for (let i = scheduler.below(3) + 2; i > 0; i--) this.#clients.push(this.#newClient());
    for (const client of this.#clients) this.#cluster.watch(client.work());
    await this.#await(scheduler.nowMs + recoveryMs, 'the cluster to be founded', () => this.#isWhole());
    this.#cluster.onElected = () => this.#probeLeaders();
    this.#faults.start();
    await this.#work(scheduler.nowMs + this.#durationMs);
    for (const client of this.#clients) client.stop();
    this.#operator.isRestless = false;
    this.#faults.heal();
    await this.#recover();
    this.#judge();
  }

  /** Lets go of everything, so that nothing of this run is left in the event loop. */
  end(): void {
    for (const { process } of this.#cluster.members.values()) process?.end();
  }

  summary(): DriverRunResult['summary'] {
    const { size, isDurable, usesLease } = this.#settings;
    const { delivered, dropped } = this.#cluster.connections;
    return {
      size,
      isDurable,
      usesLease,
      operations: this.#history.size,
      crashes: this.#faults.crashes,
      changes: this.#operator.changes,
      snapshots: this.#snapshots,
      told: this.#told,
      delivered,
      dropped,
    };
  }

  /** Does what is due until `endMs`; between two things all promises that can go on do. */
  async #work(endMs: number): Promise<void> {
    while (this.scheduler.step(endMs)) {
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#cluster.violation !== undefined) throw this.#cluster.violation;
    }
  }

  async #await(deadlineMs: number, what: string, isTrue: () => boolean): Promise<void> {
    while (!isTrue()) {
      if (this.scheduler.nowMs >= deadlineMs)
        throw new Violation('liveness', `waited ${recoveryMs} ms for ${what}: ${this.#cluster.describe()}`);
      await this.#work(Math.min(deadlineMs, this.scheduler.nowMs + 20));
    }
  }

  #isWhole(): boolean {
    return !this.#operator.isChanging && this.#cluster.isWhole();
  }

  #newClient(): DriverClient {
    return new DriverClient({
      scheduler: this.scheduler,
      history: this.#history,
      usesLease: this.#settings.usesLease,
      skipsBarrier: this.#settings.mutation === 'read-without-barrier',
      members: () => [...this.#cluster.members.values()],
      note: (text) => this.#cluster.note(text),
      told: (code) => {
        this.#told[code] = (this.#told[code] ?? 0) + 1;
      },
      nextClient: () => ++this.#clientIds,
      // Some are long, so that the log fills its segments.
      nextValue: () => String(++this.#values).padEnd(this.#values % 2 === 0 ? this.#valueLength : 0, '.'),
      waiting: (change) => {
        this.#waiting += change;
      },
    });
  }

  /** A change of leaders is when a read goes wrong: every node that believes to lead is asked, several times. */
  #probeLeaders(): void {
    for (const delayMs of [0, this.scheduler.between(0, 30), this.scheduler.between(0, 80)]) {
      this.scheduler.after(delayMs, () => {
        for (const member of this.#cluster.members.values())
          if (member.node?.status().role === 'leader')
            this.#cluster.watch(this.#newClient().read(this.scheduler.pick(keys), member));
      });
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
    for (const { node } of this.#cluster.members.values()) this.#snapshots += node?.stats().snapshotsInstalled ?? 0;
  }

  /** Asks until it is answered: a healed cluster may still be electing. */
  async #serve(deadlineMs: number, what: string, ask: () => Promise<boolean>): Promise<void> {
    let isServed = false;
    const serve = async (): Promise<void> => {
      while (!isServed && this.scheduler.nowMs < deadlineMs) isServed = await ask();
    };
    this.#cluster.watch(serve());
    await this.#await(deadlineMs, what, () => isServed);
  }

  #judge(): void {
    const verdict = checkLinearizable(registerModel, this.#history.operations());
    if (!verdict.isLinearizable)
      throw new Violation('linearizability', renderExplanation(registerModel, verdict.explanation, 'event'));
  }
}
