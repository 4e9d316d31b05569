import { goodNetwork } from '../network.js';
import type { DriverCluster } from './cluster.js';
import type { Member } from './member.js';
import type { DriverOperator } from './operator.js';

export type DriverFault =
  | 'heal'
  | 'split'
  | 'isolate'
  | 'one-way'
  | 'crash'
  | 'pause'
  | 'network'
  | 'disk'
  | 'sync-error'
  | 'full'
  | 'full-one'
  | 'jump'
  | 'transfer';

/** Everything, each as often as it is listed. */
export const allFaults: readonly DriverFault[] = [
  ...([
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
  ] as const),
];

/** A disk that has room again is tried within half a second; until then its node counts as full. */
const recoveryMs = 1_000;

/** Makes trouble at random moments, and in the end repairs all of it. */
export class DriverFaults {
  crashes = 0;
  readonly #cluster: DriverCluster;
  readonly #operator: DriverOperator;
  readonly #kinds: readonly DriverFault[];
  #isOver = false;
  /** The one disk that `full-one` has filled, and when it was filled or emptied last. */
  #full: Member | undefined;
  #fullSinceMs = Number.NEGATIVE_INFINITY;

  constructor(cluster: DriverCluster, operator: DriverOperator, kinds: readonly DriverFault[]) {
    this.#cluster = cluster;
    this.#operator = operator;
    this.#kinds = kinds;
  }

  start(): void {
    const { scheduler } = this.#cluster;
    scheduler.after(scheduler.between(0, 200), () => {
      if (this.#isOver) return;
      this.#make();
      this.start();
    });
  }

  heal(): void {
    const { connections, members } = this.#cluster;
    this.#cluster.note('heal everything');
    this.#isOver = true;
    connections.heal();
    connections.quality = goodNetwork;
    this.#cluster.maxSyncMs = 1;
    for (const member of members.values()) {
      member.process?.resume();
      member.setRoom(undefined);
      this.#cluster.restart(member);
    }
  }

  #make(): void {
    const { scheduler, members, connections } = this.#cluster;
    const up = [...members.values()].filter(({ node }) => node !== undefined);
    if (up.length === 0) return;
    const leader = this.#cluster.leader()?.member;
    const member = leader !== undefined && scheduler.chance(0.4) ? leader : scheduler.pick(up);
    const ids = [...members.keys()];
    const others = ids.filter((id) => id !== member.id);
    const fault = scheduler.pick(this.#kinds);
    this.#cluster.note(`fault ${fault} ${member.id}`);
    switch (fault) {
      case 'heal':
        connections.heal();
        return;
      case 'split': {
        const one = new Set(ids.filter(() => scheduler.chance(0.5)));
        connections.partition(
          [...one],
          ids.filter((id) => !one.has(id)),
        );
        return;
      }
      case 'isolate':
        connections.partition([member.id], others);
        return;
      case 'one-way': {
        const isDeaf = scheduler.chance(0.5);
        for (const id of others) connections.cut(isDeaf ? id : member.id, isDeaf ? member.id : id);
        return;
      }
      case 'crash':
        this.#crash(member);
        return;
      case 'pause':
        member.process?.pause(scheduler.between(5, 500));
        return;
      case 'network':
        this.#worsenNetwork();
        return;
      case 'disk':
        this.#cluster.maxSyncMs = scheduler.between(0.5, 30);
        return;
      case 'sync-error':
        if (this.#cluster.settings.isDurable) member.failSync();
        return;
      case 'full':
        member.setRoom(scheduler.chance(0.5) ? scheduler.below(10_000) : undefined);
        return;
      case 'full-one':
        this.#fillOrEmptyOne(member);
        return;
      case 'jump':
        member.process?.jump(scheduler.between(-5_000, 5_000));
        return;
      case 'transfer':
        // Whether it is taken over does not matter here.
        member.node?.transferLeadership().catch(() => {});
    }
  }

  /** Never two at once, so that a majority has room throughout. */
  #fillOrEmptyOne(member: Member): void {
    const { nowMs } = this.#cluster.scheduler;
    if (nowMs - this.#fullSinceMs < recoveryMs) return;
    this.#fullSinceMs = nowMs;
    if (this.#full === undefined) member.setRoom(0);
    else this.#full.setRoom(undefined);
    this.#full = this.#full === undefined ? member : undefined;
  }

  #crash(member: Member): void {
    const { settings, scheduler, dead } = this.#cluster;
    const comesBack = settings.isDurable || settings.mutation === 'reuse-identity';
    if (!comesBack) {
      // A cluster in memory survives the loss of a minority, and is made whole again before the next.
      if (settings.size < 3 || dead.size > 0 || this.#operator.isChanging || !this.#cluster.isWhole()) return;
      dead.add(member.id);
    }
    this.crashes++;
    member.crash();
    if (comesBack && scheduler.chance(0.8))
      scheduler.after(scheduler.between(1, 400), () => this.#cluster.restart(member));
  }

  #worsenNetwork(): void {
    const { scheduler, connections } = this.#cluster;
    connections.quality = {
      loss: scheduler.chance(0.5) ? scheduler.between(0, 0.1) : 0,
      duplication: 0,
      minDelayMs: 0.3,
      maxDelayMs: scheduler.between(1, 40),
      stragglers: scheduler.chance(0.5) ? scheduler.between(0, 0.05) : 0,
    };
  }
}
