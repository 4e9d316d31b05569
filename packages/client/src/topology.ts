import type { ServerInfo } from '@dcache/protocol';
import type { Link } from './link.js';

/** Who is asked: the leader for what only it can do at once, or any server. */
export type Target = 'leader' | 'any';

/**
 * What is known of the cluster's servers, and which is to be asked next. The addresses that the client was given stay
 * in reserve: they are asked while nothing else is known, or when nobody else answers.
 */
export class Topology {
  readonly #makeLink: (address: string) => Link;
  readonly #seeds: readonly string[];
  readonly #links = new Map<string, Link>();
  #servers: readonly ServerInfo[] = [];
  #next: number;

  /** `start` is where the round of reads begins: a random number, so that clients spread. */
  constructor(seeds: readonly string[], makeLink: (address: string) => Link, start: number) {
    this.#seeds = seeds;
    this.#makeLink = makeLink;
    this.#next = start;
  }

  get servers(): readonly ServerInfo[] {
    return this.#servers;
  }

  /** Takes what a server told. Connections to servers that are gone end when their calls have. */
  learn(servers: readonly ServerInfo[]): void {
    this.#servers = servers.filter((server) => server.rpcAddr !== '');
    const wanted = new Set([...this.#seeds, ...this.#servers.map((server) => server.rpcAddr)]);
    for (const [address, link] of this.#links) {
      if (wanted.has(address)) continue;
      this.#links.delete(address);
      link.retire();
    }
  }

  /**
   * The server to ask, none of `tried` while there is another: the leader where it is wanted and answers, else one after
   * the other, those that failed a moment ago last.
   */
  pick(target: Target, tried: ReadonlySet<Link>): Link {
    const leader = this.#servers.find((server) => server.isLeader);
    if (target === 'leader' && leader) {
      const link = this.link(leader.rpcAddr);
      if (!link.isDown && !tried.has(link)) return link;
    }
    const known = this.#servers.map((server) => server.rpcAddr);
    return (
      this.#round(known, (link) => !tried.has(link) && !link.isDown) ??
      this.#round(this.#seeds, (link) => !tried.has(link) && !link.isDown) ??
      this.#round([...known, ...this.#seeds], (link) => !tried.has(link)) ??
      this.#round([...known, ...this.#seeds], () => true)!
    );
  }

  /** Whether `pick` would give a server that is not among `tried`. */
  hasOther(tried: ReadonlySet<Link>): boolean {
    return [...this.#servers.map((server) => server.rpcAddr), ...this.#seeds].some(
      (address) => !tried.has(this.link(address)),
    );
  }

  link(address: string): Link {
    let link = this.#links.get(address);
    if (!link) {
      link = this.#makeLink(address);
      this.#links.set(address, link);
    }
    return link;
  }

  close(): void {
    for (const link of this.#links.values()) link.close();
    this.#links.clear();
  }

  #round(addresses: readonly string[], isWanted: (link: Link) => boolean): Link | undefined {
    for (let i = 0; i < addresses.length; i++) {
      const link = this.link(addresses[(this.#next + i) % addresses.length]!);
      if (!isWanted(link)) continue;
      this.#next = (this.#next + i + 1) % Number.MAX_SAFE_INTEGER;
      return link;
    }
    return undefined;
  }
}
