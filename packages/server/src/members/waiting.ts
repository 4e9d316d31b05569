import type { Clock, Logger } from '@dcache/base';
import type { Member, Serf } from '@dcache/serf';
import type { ResolvedOptions } from '../settings/options.js';
import { memberTags } from './membership.js';

export interface WaitingParts {
  readonly options: Pick<ResolvedOptions, 'id' | 'bootstrap' | 'inMemory' | 'dataDir'>;
  readonly serf: Pick<Serf, 'members' | 'address'>;
  /** Whom this node was told to join, and why none of them answers, where none does. */
  readonly joiner: { readonly addresses: readonly string[]; readonly fault: string | undefined };
  /** The cluster this node belongs to. */
  readonly cluster: () => string | undefined;
  /** Whether this node is a member of the log's configuration. */
  readonly isMember: () => boolean;
  readonly hasLeader: () => boolean;
  readonly isReady: () => boolean;
  /** Why the members of the cluster cannot elect a leader any more, where this node is one and knows. */
  readonly quorumFault: () => string | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** When a node that is not ready says so first, and how often from then on, in milliseconds. */
export const firstMs = 30_000;
export const againMs = 300_000;
/** Members that are named; more are counted. */
const maxNamed = 10;

/**
 * A node that waits must not do it in silence: it says at once when nothing it was told can end the waiting, and now and
 * then what it has and has not seen, until it is ready for the first time.
 */
export class Waiting {
  readonly #parts: WaitingParts;
  #startedMs = 0;
  #cancel: (() => void) | undefined;

  constructor(parts: WaitingParts) {
    this.#parts = parts;
  }

  /** Gossip runs from now on. */
  start(): void {
    const { options, serf, joiner, cluster, clock, logger } = this.#parts;
    this.#startedMs = clock.monotonicMs();
    this.#cancel = clock.after(firstMs, () => this.#look());
    if (options.bootstrap || joiner.addresses.length > 0 || cluster() !== undefined) return;
    const none = options.inMemory ? 'neither' : `no cluster is known in --data-dir ${options.dataDir}, and neither`;
    logger.warn(
      { id: options.id },
      `${none} --bootstrap nor --join was given: this node waits until a member of a cluster joins it at ${serf.address}, and refuses requests until then. To found a cluster start it with --bootstrap, to join one with --join HOST:PORT, the --addr of any member`,
    );
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #look(): void {
    const { options, clock, logger, isReady } = this.#parts;
    this.#cancel = undefined;
    if (isReady()) return;
    const missing = this.#missing();
    const seconds = Math.round((clock.monotonicMs() - this.#startedMs) / 1_000);
    if (missing !== undefined) logger.warn({ id: options.id }, `not ready after ${seconds} s: ${missing}`);
    this.#cancel = clock.after(againMs, () => this.#look());
  }

  /** What this node waits for; undefined while it only has to catch up with a leader. */
  #missing(): string | undefined {
    const { cluster, isMember, hasLeader, quorumFault } = this.#parts;
    const own = cluster();
    if (own === undefined) return `it belongs to no cluster; ${this.#seen()}${this.#advice()}`;
    if (hasLeader()) return undefined;
    const fault = quorumFault();
    if (fault !== undefined) return fault;
    const survivors = this.#survivors(own);
    if (survivors.length > 0)
      return `cluster ${own} cannot take it in, because half of its members or more were started again without their data, as ${survivors.join(', ')} found: no leader can be elected. Where that is still there, start them with its --data-dir. Where it is gone: save what ${survivors.length === 1 ? 'that node holds' : 'those nodes hold'}, then found anew: "Lost quorum" in docs/operations.md`;
    if (isMember())
      return `cluster ${own} has no leader: more than half of its members must run and reach each other; ${this.#seen()}`;
    return `no leader has taken it into cluster ${own}; ${this.#seen()}. The logs here and there say why: often one cannot reach the other, or its certificate or key is another`;
  }

  /** Members of the cluster that say that its majority is lost for good. */
  #survivors(cluster: string): string[] {
    const isSurvivor = ({ status, tags }: Member): boolean =>
      status === 'alive' && tags.get(memberTags.cluster) === cluster && tags.get(memberTags.quorum) === 'lost';
    return this.#others()
      .filter(isSurvivor)
      .slice(0, maxNamed)
      .map(({ name }) => name);
  }

  #others(): Member[] {
    const { options, serf } = this.#parts;
    return serf.members().filter(({ name }) => name !== options.id);
  }

  /** The gossip pool without this node. */
  #seen(): string {
    const { joiner } = this.#parts;
    const others = this.#others();
    const names = others
      .slice(0, maxNamed)
      .map(({ name, status }) => (status === 'alive' ? name : `${name} (${status})`));
    if (others.length > maxNamed) names.push(`${others.length - maxNamed} more`);
    const seen = names.length > 0 ? `gossip knows ${names.join(', ')}` : 'gossip knows no other node';
    const { addresses, fault } = joiner;
    return fault === undefined ? seen : `${seen}, and nobody answers at ${addresses.join(', ')} (${fault})`;
  }

  /** What would give the pool a cluster. */
  #advice(): string {
    const { joiner } = this.#parts;
    const others = this.#others().filter(({ status }) => status === 'alive');
    if (others.length === 0) return joiner.addresses.length > 0 ? '' : '; give --bootstrap or --join';
    const clusters = new Set(others.map(({ tags }) => tags.get(memberTags.cluster)).filter((one) => one));
    if (clusters.size === 0) return ', and none of them has a cluster: start one of them with --bootstrap';
    return clusters.size > 1 ? `, which belong to several clusters: ${[...clusters].sort().join(', ')}` : '';
  }
}
