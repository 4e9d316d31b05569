import type { Clock, Logger } from '@dcache/base';
import type { Serf } from '@dcache/serf';
import type { Stranger } from '../peers/peers.js';
import { formatAddress } from '../settings/address.js';

/** How long a meeting may take, and how long another with the same node has to wait, in milliseconds. */
const tryMs = 2_000;
const againMs = 5_000;
/** Nodes that are met at once, or were met within `againMs`; more have to wait. */
const maxMet = 16;

/**
 * Makes gossip meet a node that answers where a member of this cluster was, but belongs to another cluster or to none: a
 * founder, say, that was restarted alone. Where it was given up as failed nobody probes it any more, so that neither side
 * would hear of the other before gossip looks for lost members, half a minute or more. Met, it learns of this cluster, and
 * gives way or speaks up (ADR 19). Only who says that it has the name of the member that was there: an address is given to
 * another program some day, and two gossip pools that have nothing to do with each other must not become one.
 */
export class Meeting {
  readonly #serf: Pick<Serf, 'join' | 'member'>;
  readonly #clock: Clock;
  readonly #logger: Logger;
  /** What stops the wait for another meeting, by name. */
  readonly #met = new Map<string, () => void>();
  #isStopped = false;

  constructor(serf: Pick<Serf, 'join' | 'member'>, clock: Clock, logger: Logger) {
    this.#serf = serf;
    this.#clock = clock;
    this.#logger = logger;
  }

  /**
   * Meets the node that answers where the member of that name was, if it says that it has that name: where gossip knows
   * the member, alive or not, or where the node says that its gossip is. At once, unless it was met just now.
   */
  meet(name: string, stranger: Stranger | undefined): void {
    if (this.#isStopped || stranger?.name !== name || this.#met.has(name) || this.#met.size >= maxMet) return;
    const address = this.#addressOf(stranger);
    if (address === undefined) return;
    const abort = new AbortController();
    const cancelTimeout = this.#clock.after(tryMs, () => abort.abort(new Error(`no answer within ${tryMs} ms`)));
    const cancelAgain = this.#clock.after(againMs, () => void this.#met.delete(name));
    this.#met.set(name, () => {
      cancelTimeout();
      cancelAgain();
      abort.abort(new Error('the node stops'));
    });
    this.#serf
      .join([address], { signal: abort.signal })
      .catch((error: unknown) => this.#logger.debug({ err: error, name, address }, 'a stranger was not met'))
      .finally(cancelTimeout);
  }

  stop(): void {
    this.#isStopped = true;
    for (const cancel of this.#met.values()) cancel();
    this.#met.clear();
  }

  #addressOf({ name, host, port }: Stranger): string | undefined {
    const member = this.#serf.member(name);
    if (member?.port === port) return formatAddress(member.address, port);
    // At two places at once the name would be fought for, and the newcomer lose.
    return member?.status === 'alive' ? undefined : formatAddress(host, port);
  }
}
