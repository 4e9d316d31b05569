import type { Clock, Logger } from '@dcache/base';
import type { ConflictReport, Serf } from '@dcache/serf';
import type { LogHome } from '../log/log-home.js';
import { memberTags } from './membership.js';

export interface ClusterWatchParts {
  readonly serf: Pick<Serf, 'members'>;
  readonly home: Pick<LogHome, 'cluster' | 'isDurable' | 'dataDir'>;
  /** This node's name. */
  readonly name: string;
  /** Whether this node was told whom to join. */
  readonly joins: boolean;
  /** Whether a client's write was acknowledged here, so that this node has something to lose. */
  readonly isWrittenTo: () => boolean;
  readonly adopt: (cluster: string) => Promise<void>;
  readonly onFatal: (error: Error) => void;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** How long a node that came back may be among strangers before its own are seen, in milliseconds. */
const strangersMs = 3_000;
/** How often it is said that the pool holds several clusters, as long as it does, in milliseconds. */
export const sayAgainMs = 300_000;

/**
 * Which cluster the gossip pool belongs to. A node without a cluster takes the one whose members it sees; nodes of a
 * foreign one are never added, and a pool that holds two is said, loudly and again. A node that is alone with its cluster
 * among those of another ends where nothing is lost by it and it is certainly the one in the wrong place: it founded the
 * smaller of the two and no client has written to it, or it was told to join them with the data directory of another
 * cluster. What gossip says of others is not proved, so it must never cost data. (ADR 19)
 */
export class ClusterWatch {
  readonly #parts: ClusterWatchParts;
  #said = '';
  #cancelAgain: (() => void) | undefined;
  #cancelLook: (() => void) | undefined;
  #isStopped = false;
  #isAdopting = false;
  #hasSeenOwn = false;
  #aloneSinceMs: number | undefined;
  #hasEnded = false;
  #hasFounded = false;
  /** When it was said last that the name is kept, in monotonic milliseconds. */
  #saidNameMs = Number.NEGATIVE_INFINITY;

  constructor(parts: ClusterWatchParts) {
    this.#parts = parts;
  }

  /** Whether this node has founded its cluster since it started. */
  get hasFounded(): boolean {
    return this.#hasFounded;
  }

  /** Whether this node has no cluster yet, or is alone with one that it has founded since it started. */
  get isAlone(): boolean {
    return this.#parts.home.cluster === undefined || (this.#hasFounded && !this.#hasSeenOwn);
  }

  /**
   * Whether this node keeps its name though another live node has it, and does not let the pool vote: it has something to
   * lose, and the other is none of its cluster. Says so, at once and every five minutes while gossip tells of both.
   */
  keepsName({ name, other, tags }: Pick<ConflictReport, 'name' | 'other' | 'tags'>): boolean {
    const { home, isWrittenTo, clock, logger } = this.#parts;
    const theirs = tags.get(memberTags.cluster);
    if (home.cluster === undefined || theirs === home.cluster || !isWrittenTo()) return false;
    const nowMs = clock.monotonicMs();
    // One without a cluster has only just come, and goes by the vote of the others.
    if (theirs === undefined || nowMs - this.#saidNameMs < sayAgainMs) return true;
    this.#saidNameMs = nowMs;
    logger.error(
      { cluster: home.cluster, seen: theirs, other },
      `a node of cluster ${theirs} is called ${name} too, and gossip has brought the two clusters together; this node keeps its name, because clients have written to it: give one of the two another --id, and each cluster a Serf key of its own`,
    );
    return true;
  }

  founded(): void {
    this.#hasFounded = true;
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancelAgain?.();
    this.#cancelLook?.();
  }

  /** Looks at the pool now, and takes its cluster where this node has none. */
  async look(): Promise<void> {
    if (this.#isStopped) return;
    const { home, adopt, onFatal } = this.#parts;
    const pool = this.#pool();
    const own = home.cluster;
    if (own === undefined && pool.size === 1 && !this.#isAdopting) {
      this.#isAdopting = true;
      try {
        await adopt([...pool.keys()][0]!);
      } catch (error) {
        onFatal(error as Error);
      } finally {
        this.#isAdopting = false;
      }
    } else this.#judge(own, pool);
  }

  /** Looks for a cluster among the others; whether one of them belongs to any. */
  async seesCluster(): Promise<boolean> {
    await this.look();
    return this.#pool().size > 0;
  }

  /** Alive members of each cluster, without this node. */
  #pool(): Map<string, number> {
    const pool = new Map<string, number>();
    for (const member of this.#parts.serf.members()) {
      const cluster = member.tags.get(memberTags.cluster);
      if (member.name === this.#parts.name || member.status !== 'alive' || !cluster) continue;
      pool.set(cluster, (pool.get(cluster) ?? 0) + 1);
    }
    return pool;
  }

  #judge(own: string | undefined, pool: ReadonlyMap<string, number>): void {
    if (own !== undefined && pool.has(own)) this.#hasSeenOwn = true;
    const foreign = [...pool].filter(([cluster]) => cluster !== own).sort(([, a], [, b]) => b - a)[0];
    if (!foreign || (own === undefined && pool.size < 2)) return;
    const { home, clock, joins, isWrittenTo } = this.#parts;
    const keeps = own !== undefined && !this.#hasSeenOwn && this.#hasFounded && isWrittenTo();
    this.#sayForeign([...new Set([...pool.keys(), ...(own === undefined ? [] : [own])])].sort().join(', '), keeps);
    if (own === undefined || this.#hasSeenOwn) return;
    const [cluster, count] = foreign;
    const nodes = count === 1 ? 'one node' : `${count} nodes`;
    if (this.#hasFounded) {
      // Of two that founded, only one may go; who has only brought a foreign data directory goes by itself.
      if (keeps || (count === 1 && (own < cluster || !this.#isFresh(cluster)))) return;
      this.#end(
        `this node founded cluster ${own} alone, but cluster ${cluster} of ${nodes} was there already; they share no data. Start it without --bootstrap and with --join, or with both, and it joins the other`,
      );
    } else if (home.isDurable && joins) {
      this.#aloneSinceMs ??= clock.monotonicMs();
      if (clock.monotonicMs() - this.#aloneSinceMs < strangersMs) {
        this.#cancelLook?.();
        this.#cancelLook = clock.after(strangersMs, () => void this.look());
      } else
        this.#end(
          `--data-dir ${home.dataDir} belongs to cluster ${own}, but --join leads to cluster ${cluster} of ${nodes}; nothing was changed. Give another --data-dir, or the addresses of its own cluster`,
        );
    }
  }

  /** Whether a member of that cluster founded it since it started. */
  #isFresh(cluster: string): boolean {
    const members = this.#parts.serf.members();
    return members.some(
      ({ tags, status }) =>
        status === 'alive' && tags.get(memberTags.cluster) === cluster && tags.get(memberTags.founder) === 'founded',
    );
  }

  #end(message: string): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#parts.onFatal(new Error(message));
  }

  /** At once when other clusters are seen than before, and now and then while they are. */
  #sayForeign(seen: string, keeps: boolean): void {
    const said = `${seen} ${keeps}`;
    if (this.#said === said) return;
    this.#said = said;
    const { home, clock, logger } = this.#parts;
    const own = keeps
      ? ` This node is alone with cluster ${home.cluster} and keeps it, because clients have written to it: decide which of them is to stay, and stop the nodes of the other`
      : '';
    logger.error(
      { cluster: home.cluster, seen },
      `the gossip pool holds several clusters that share no data: was a node started with --bootstrap twice?${own}`,
    );
    this.#cancelAgain?.();
    this.#cancelAgain = clock.after(sayAgainMs, () => {
      this.#said = '';
      void this.look();
    });
  }
}
