import type { Clock, Logger } from '@dcache/base';
import type { Seeker, Serf } from '@dcache/serf';
import { type Address, formatAddress } from './address.js';

/** The first wait before the addresses are tried again; it doubles up to the second. */
const firstRetryMs = 500;
const lastRetryMs = 5_000;

/**
 * Joins the gossip pool, and keeps trying while nobody answers: the others may start later. Then it looks for those that
 * did not answer, until each was reached: nodes that found only each other would wait for a cluster for ever, while its
 * founder, who may have been given nobody's address, starts last.
 */
export class Joiner {
  readonly #serf: Pick<Serf, 'join' | 'seek'>;
  readonly #addresses: readonly string[];
  readonly #clock: Clock;
  readonly #logger: Logger;
  #cancel: (() => void) | undefined;
  #seeker: Pick<Seeker, 'start' | 'stop'> | undefined;
  #retryMs = firstRetryMs;
  /** Ends a try that is under way. */
  readonly #stopping = new AbortController();

  constructor(serf: Pick<Serf, 'join' | 'seek'>, addresses: readonly Address[], clock: Clock, logger: Logger) {
    this.#serf = serf;
    this.#addresses = addresses.map((address) => formatAddress(address.host, address.port));
    this.#clock = clock;
    this.#logger = logger;
  }

  get hasAddresses(): boolean {
    return this.#addresses.length > 0;
  }

  /** One try. Whether anybody answered; says so when nobody did, unless `isQuiet`. */
  async tryOnce(isQuiet = false): Promise<boolean> {
    if (this.#addresses.length === 0) return false;
    try {
      return (await this.#serf.join(this.#addresses, { signal: this.#stopping.signal })) > 0;
    } catch (error) {
      if (this.#stopping.signal.aborted || isQuiet) return false;
      const again = `; trying again every ${lastRetryMs / 1000} s`;
      this.#logger.warn({ err: error }, `nobody answers at ${this.#addresses.join(', ')}${again}`);
      return false;
    }
  }

  /** Tries in the background until somebody answers, and then until all were reached. */
  start(): void {
    if (this.#addresses.length > 0 && !this.#stopping.signal.aborted) void this.#loop();
  }

  stop(): void {
    this.#stopping.abort();
    this.#cancel?.();
    this.#seeker?.stop();
  }

  async #loop(): Promise<void> {
    const isAnswered = await this.tryOnce();
    if (this.#stopping.signal.aborted) return;
    if (isAnswered) {
      await this.#seekRest();
      return;
    }
    this.#cancel = this.#clock.after(this.#retryMs, () => void this.#loop());
    this.#retryMs = Math.min(lastRetryMs, this.#retryMs * 2);
  }

  /** Members that gossip has told of meanwhile count as reached, and a member that is gone Serf itself looks for. */
  async #seekRest(): Promise<void> {
    try {
      this.#seeker = this.#serf.seek(this.#addresses, {
        again: false,
        onFault: (address, fault) =>
          this.#logger.info({ address, fault }, 'an address is not joined; it is tried again'),
      });
      await this.#seeker.start();
    } catch (error) {
      this.#logger.debug({ err: error }, 'gossip has stopped: nobody is looked for');
    }
  }
}
