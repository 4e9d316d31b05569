import type { NodeId, RaftStatus } from '@dcache/raft';
import { Violation } from '../checkers.js';
import type { Scheduler } from '../scheduler.js';
import type { TraceLog } from '../trace.js';
import { Connections } from './connections.js';
import { Member } from './member.js';

/** Known bugs around the driver, to prove that the checks see them. */
export const driverMutations = [
  /** The disk says that it has written and has not. */
  'sync-does-nothing',
  /** A node in memory comes back empty under the id that has voted and acknowledged. */
  'reuse-identity',
  /** A leader answers reads from its own state without asking anybody. */
  'read-without-barrier',
  /** Leases under clocks that differ by far more than a lease allows for. */
  'lease-with-wild-clocks',
] as const;
export type DriverMutation = (typeof driverMutations)[number];

export interface DriverSettings {
  /** Wanted number of voters. */
  readonly size: number;
  readonly isDurable: boolean;
  /** Whether reads by lease are made too; clocks then differ by no more than a lease allows for. */
  readonly usesLease: boolean;
  readonly mutation: DriverMutation | undefined;
}

/** All members of a run, and what is true of them together. */
export class DriverCluster {
  readonly scheduler: Scheduler;
  readonly settings: DriverSettings;
  readonly connections: Connections;
  readonly members: Map<NodeId, Member> = new Map();
  /** Nodes in memory that ended: they never come back. */
  readonly dead: Set<NodeId> = new Set();
  /** Longest time a sync takes now. */
  maxSyncMs = 1;
  /** Called when a node begins to lead. */
  onElected: () => void = () => {};
  readonly #trace: TraceLog;
  /** Hash of the state after each index. */
  readonly #states = new Map<number, number>();
  #violation: Violation | undefined;
  #lastId = 0;

  constructor(scheduler: Scheduler, settings: DriverSettings, trace: TraceLog) {
    this.scheduler = scheduler;
    this.settings = settings;
    this.#trace = trace;
    this.connections = new Connections(scheduler, (text) => this.note(text));
  }

  /** The first thing that went wrong. */
  get violation(): Violation | undefined {
    return this.#violation;
  }

  note(text: string): void {
    this.#trace.add(this.scheduler.nowMs, text);
  }

  fail(violation: Violation): void {
    this.#violation ??= violation;
  }

  /** A promise that must not reject. */
  watch(promise: Promise<unknown>): void {
    promise.catch((error: unknown) => this.fail(new Violation('exception', String((error as Error).stack ?? error))));
  }

  /** A node with a new id and an empty disk, not started. */
  add(): Member {
    const { scheduler, connections, settings } = this;
    const member = new Member(++this.#lastId, {
      scheduler,
      connections,
      isDurable: settings.isDurable,
      isDiskLying: settings.mutation === 'sync-does-nothing',
      // The lease of the driver allows for clocks that differ by a fifth.
      clockRate: () => (settings.usesLease ? scheduler.between(0.92, 1.08) : scheduler.between(0.6, 1.6)),
      syncMs: () => scheduler.between(0.1, this.maxSyncMs),
      note: (text) => this.note(text),
      elected: (id) => this.#elected(id),
      applied: (id, machine) => this.#applied(id, machine.applied, machine.hash),
      ended: (ended) => scheduler.after(scheduler.between(1, 200), () => this.restart(ended)),
      fail: (violation) => this.fail(violation),
    });
    this.members.set(member.id, member);
    return member;
  }

  /** Starts what may come back and is down. */
  restart(member: Member): void {
    if (!member.isUp && !this.dead.has(member.id)) member.start(false);
  }

  /** The leader of the highest term among those that are awake, with what it knows. */
  leader(): { readonly member: Member; readonly status: RaftStatus } | undefined {
    let best: { member: Member; status: RaftStatus } | undefined;
    for (const member of this.members.values()) {
      if (member.node === undefined || member.process?.isPaused) continue;
      const status = member.node.status();
      if (status.role === 'leader' && (best === undefined || status.term > best.status.term)) best = { member, status };
    }
    return best;
  }

  /** The wanted members, all up and level, and nothing of any other in a log. */
  isWhole(): boolean {
    const found = this.leader();
    if (found === undefined) return false;
    const { voters, learners } = found.status.confState;
    if (voters.length !== this.settings.size || learners.length > 0) return false;
    return voters.every((id) => {
      const status = this.members.get(id)?.node?.status();
      return (
        status !== undefined &&
        status.appliedIndex === status.lastIndex &&
        status.appliedIndex === found.status.lastIndex &&
        status.confState.voters.join() === voters.join()
      );
    });
  }

  /** How all nodes are, for a message. */
  describe(): string {
    const nodes = [...this.members.values()].map(({ id, node }) => {
      const status = node?.status();
      if (status === undefined) return `${id} down`;
      const { term, role, leader, commitIndex, appliedIndex, lastIndex, confState } = status;
      const { voters, learners } = confState;
      return `${id} t${term} ${role} leader ${leader} commit ${commitIndex} applied ${appliedIndex} last ${lastIndex} voters ${voters} learners ${learners}`;
    });
    return nodes.join('; ');
  }

  #elected(leader: NodeId): void {
    if (this.settings.mutation === 'lease-with-wild-clocks')
      for (const { id, process, node } of this.members.values())
        process?.setRate(id === leader || node?.status().role === 'leader' ? 0.1 : 3);
    this.onElected();
  }

  #applied(id: NodeId, index: number, hash: number): void {
    const known = this.#states.get(index);
    if (known === undefined) this.#states.set(index, hash);
    else if (known !== hash)
      this.fail(new Violation('state-machine-safety', `node ${id} has another state at index ${index}`));
  }
}
