import type { MembershipChange, RaftStatus } from '@dcache/raft';
import type { DriverCluster } from './cluster.js';

/** Keeps the cluster at its size, one change at a time, by whoever leads; while it is restless, it replaces nodes too. */
export class DriverOperator {
  isRestless = true;
  /** Changes that were made. */
  changes = 0;
  readonly #cluster: DriverCluster;
  #isChanging = false;

  constructor(cluster: DriverCluster) {
    this.#cluster = cluster;
  }

  /** Whether a change is asked for and not answered. */
  get isChanging(): boolean {
    return this.#isChanging;
  }

  start(): void {
    const { scheduler } = this.#cluster;
    scheduler.after(scheduler.between(40, 120), () => {
      this.start();
      if (!this.#isChanging) this.#cluster.watch(this.#changeOne());
    });
  }

  async #changeOne(): Promise<void> {
    const found = this.#cluster.leader();
    if (found === undefined) return;
    const { member, status } = found;
    const change = this.#next(status);
    if (change === undefined) return;
    this.#isChanging = true;
    const ended = new Promise<string>((resolve) => member.process!.onEnd(() => resolve('the process ended')));
    const asked = member.node!.changeMembership(change).then(
      ({ voters, learners }) => {
        this.changes++;
        return `voters ${voters} learners ${learners}`;
      },
      (error: Error) => error.message,
    );
    const outcome = await Promise.race([asked, ended]);
    this.#cluster.note(`change ${change.type} ${change.id} by ${member.id}: ${outcome}`);
    this.#isChanging = false;
  }

  #next({ confState }: RaftStatus): MembershipChange | undefined {
    const { scheduler, members, dead, settings } = this.#cluster;
    const { voters, learners } = confState;
    const present = [...voters, ...learners];
    const gone = present.find((id) => dead.has(id));
    const learner = learners.find((id) => id !== gone);
    if (learner !== undefined) return { type: 'promote', id: learner };
    const living = voters.filter((id) => !dead.has(id)).length;
    if (living < settings.size) {
      const newest = Math.max(...present);
      const spare = [...members.values()].find(({ id, isUp }) => isUp && id > newest);
      const joining = spare ?? this.#cluster.add();
      if (!joining.isUp) joining.start(false);
      return { type: 'add-learner', id: joining.id };
    }
    if (gone !== undefined) return { type: 'remove', id: gone };
    const isTooMany = voters.length > settings.size;
    if (!isTooMany && !(this.isRestless && settings.size > 1 && scheduler.chance(0.05))) return undefined;
    return { type: 'remove', id: scheduler.pick(voters) };
  }
}
