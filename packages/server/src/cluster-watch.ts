import type { Logger } from '@dcache/base';
import type { Serf } from '@dcache/serf';
import type { LogHome } from './log-home.js';
import { memberTags } from './membership.js';

/**
 * Which cluster the gossip pool belongs to. A node without a cluster takes the one whose members it sees; nodes of a
 * foreign one are never added, so a pool that holds two is said, loudly and once.
 */
export class ClusterWatch {
  readonly #serf: Pick<Serf, 'members'>;
  readonly #home: LogHome;
  readonly #adopt: (cluster: string) => Promise<void>;
  readonly #onFatal: (error: Error) => void;
  readonly #logger: Logger;
  #said = '';
  #isAdopting = false;

  constructor(
    serf: Pick<Serf, 'members'>,
    home: LogHome,
    adopt: (cluster: string) => Promise<void>,
    onFatal: (error: Error) => void,
    logger: Logger,
  ) {
    this.#serf = serf;
    this.#home = home;
    this.#adopt = adopt;
    this.#onFatal = onFatal;
    this.#logger = logger;
  }

  /** Looks at the pool now; whether this node belongs to a cluster. */
  async look(): Promise<boolean> {
    const clusters = this.#clusters();
    if (clusters.size > 1) this.#sayForeign([...clusters].sort().join(', '));
    const [cluster] = clusters;
    if (clusters.size === 1 && cluster !== undefined && this.#home.cluster === undefined && !this.#isAdopting) {
      this.#isAdopting = true;
      try {
        await this.#adopt(cluster);
      } catch (error) {
        this.#onFatal(error as Error);
      } finally {
        this.#isAdopting = false;
      }
    }
    return this.#home.cluster !== undefined;
  }

  #clusters(): Set<string> {
    const clusters = new Set<string>();
    if (this.#home.cluster !== undefined) clusters.add(this.#home.cluster);
    for (const member of this.#serf.members()) {
      const cluster = member.tags.get(memberTags.cluster);
      if (member.status === 'alive' && cluster) clusters.add(cluster);
    }
    return clusters;
  }

  #sayForeign(seen: string): void {
    if (this.#said === seen) return;
    this.#said = seen;
    this.#logger.error(
      { cluster: this.#home.cluster, seen },
      'the gossip pool holds several clusters that share no data: was a node started with --bootstrap twice?',
    );
  }
}
