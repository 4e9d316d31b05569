import type { Cluster } from './cluster.js';
import { goodDisk } from './cluster.js';
import { goodNetwork } from './network.js';
import type { SimNode } from './node.js';
import type { Operator } from './operator.js';

/** What may go wrong in a run; each seed draws its own. */
export interface FaultPlan {
  readonly partitions: boolean;
  readonly crashes: boolean;
  readonly pauses: boolean;
  readonly clockSkew: boolean;
  readonly badNetwork: boolean;
  readonly badDisk: boolean;
  readonly transfers: boolean;
  readonly compactions: boolean;
  readonly membership: boolean;
  /** Mean time between two faults. */
  readonly intervalMs: number;
}

type Fault = () => void;

/** Makes trouble at random moments, and in the end repairs all of it. */
export class Faults {
  readonly #cluster: Cluster;
  readonly #operator: Operator;
  readonly #plan: FaultPlan;
  readonly #reuseIdentity: boolean;
  #isOver = false;
  readonly counts: Map<string, number> = new Map();

  constructor(cluster: Cluster, operator: Operator, plan: FaultPlan) {
    this.#cluster = cluster;
    this.#operator = operator;
    this.#plan = plan;
    this.#reuseIdentity = cluster.settings.mutation === 'reuse-identity';
  }

  start(): void {
    const { partitions, crashes, pauses, clockSkew, badNetwork, badDisk, transfers, compactions, membership } =
      this.#plan;
    const faults: [string, Fault][] = [['heal', () => this.#cluster.network.heal()]];
    if (partitions) {
      faults.push(['partition', () => this.#partition()], ['isolate', () => this.#isolate()]);
      faults.push(
        ['isolate-leader', () => this.#isolate(this.#cluster.leader()?.node)],
        ['one-way', () => this.#oneWay()],
      );
    }
    if (crashes)
      faults.push(['crash', () => this.#crash()], ['crash-leader', () => this.#crash(this.#cluster.leader()?.node)]);
    if (crashes) faults.push(['restart', () => this.#restartAll()]);
    if (pauses)
      faults.push(['pause', () => this.#pause()], ['pause-leader', () => this.#pause(this.#cluster.leader()?.node)]);
    if (clockSkew) faults.push(['skew', () => this.#skew()]);
    if (badNetwork) faults.push(['network', () => this.#worsenNetwork()]);
    if (badDisk) faults.push(['disk', () => this.#worsenDisk()]);
    if (transfers) faults.push(['transfer', () => this.#transfer()], ['campaign', () => this.#campaign()]);
    if (compactions) faults.push(['compact', () => this.#compact()], ['compact', () => this.#compact()]);
    this.#operator.isRestless = membership;
    this.#again(faults);
  }

  /** Ends the trouble: whole network, right clocks, fast disks, every process up that may come up. */
  heal(): void {
    this.#isOver = true;
    const cluster = this.#cluster;
    cluster.note('heal everything');
    this.#operator.isRestless = false;
    cluster.network.heal();
    cluster.network.quality = goodNetwork;
    cluster.diskQuality = goodDisk;
    for (const node of cluster.nodes.values()) {
      node.clockRate = 1;
      node.resume();
    }
    this.#restartAll();
  }

  #again(faults: readonly [string, Fault][]): void {
    const { scheduler } = this.#cluster;
    scheduler.after(scheduler.between(0, 2 * this.#plan.intervalMs), () => {
      if (this.#isOver) return;
      const [name, fault] = scheduler.pick(faults);
      this.#cluster.note(`fault ${name}`);
      this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
      fault();
      this.#again(faults);
    });
  }

  #anyUp(): SimNode | undefined {
    const { up, scheduler } = this.#cluster;
    return up.length > 0 ? scheduler.pick(up) : undefined;
  }

  #partition(): void {
    const { scheduler, nodes, network } = this.#cluster;
    const one: number[] = [];
    const other: number[] = [];
    for (const id of nodes.keys()) (scheduler.chance(0.5) ? one : other).push(id);
    network.partition(one, other);
  }

  #isolate(node: SimNode | undefined = this.#anyUp()): void {
    if (node === undefined) return;
    const others = [...this.#cluster.nodes.keys()].filter((id) => id !== node.id);
    this.#cluster.network.partition([node.id], others);
  }

  /** A node that hears and is not heard, or the other way round; or just one link. */
  #oneWay(): void {
    const { scheduler, network, nodes } = this.#cluster;
    const node = this.#anyUp();
    if (node === undefined) return;
    const others = [...nodes.keys()].filter((id) => id !== node.id);
    const cut = scheduler.chance(0.3) && others.length > 0 ? [scheduler.pick(others)] : others;
    const isDeaf = scheduler.chance(0.5);
    for (const other of cut) {
      if (isDeaf) network.cut(other, node.id);
      else network.cut(node.id, other);
    }
  }

  #crash(node: SimNode | undefined = this.#anyUp()): void {
    if (node === undefined) return;
    const { settings, scheduler } = this.#cluster;
    if (!settings.isDurable && !this.#reuseIdentity) {
      // A cluster in memory survives the loss of a minority, and only if it is made whole again before the next.
      if (!this.#operator.isWhole() || (this.#cluster.leader()?.status.confState.voters.length ?? 0) < 3) return;
      node.crash();
      this.#operator.bury(node.id);
      return;
    }
    node.crash();
    if (scheduler.chance(0.8)) scheduler.after(scheduler.between(10, 400), () => this.#restart(node));
  }

  #restart(node: SimNode): void {
    if (!node.isUp && this.#cluster.nodes.get(node.id) === node) node.start();
  }

  #restartAll(): void {
    if (!this.#cluster.settings.isDurable && !this.#reuseIdentity) return;
    for (const node of this.#cluster.nodes.values()) this.#restart(node);
  }

  #pause(node: SimNode | undefined = this.#anyUp()): void {
    node?.pause(this.#cluster.scheduler.between(10, 600));
  }

  #skew(): void {
    const node = this.#anyUp();
    if (node !== undefined) node.clockRate = this.#cluster.scheduler.between(0.4, 2.5);
  }

  #worsenNetwork(): void {
    const { scheduler, network } = this.#cluster;
    network.quality = {
      loss: scheduler.chance(0.5) ? scheduler.between(0, 0.3) : 0,
      duplication: scheduler.chance(0.5) ? scheduler.between(0, 0.3) : 0,
      minDelayMs: 0.5,
      maxDelayMs: scheduler.between(1, 60),
      stragglers: scheduler.chance(0.5) ? scheduler.between(0, 0.1) : 0,
    };
  }

  #worsenDisk(): void {
    const { scheduler } = this.#cluster;
    this.#cluster.diskQuality = {
      minSyncMs: 0.2,
      maxSyncMs: scheduler.between(1, 40),
      stalls: scheduler.between(0, 0.1),
    };
  }

  #transfer(): void {
    const found = this.#cluster.leader();
    if (found === undefined) return;
    const to = this.#cluster.scheduler.pick(found.status.confState.voters);
    this.#cluster.note(`transfer ${found.node.id} to ${to}`);
    found.node.tell((core) => core.transferLeader(to));
  }

  #campaign(): void {
    this.#anyUp()?.tell((core) => core.campaign());
  }

  #compact(): void {
    const { scheduler } = this.#cluster;
    this.#anyUp()?.compact(scheduler.below(20));
  }
}
