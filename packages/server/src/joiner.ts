import type { Clock, Logger } from '@dcache/base';
import type { Seeker, Serf } from '@dcache/serf';
import { type Address, formatAddress } from './address.js';

/** The first wait before the addresses are tried again; it doubles up to the second. */
const firstRetryMs = 500;
const lastRetryMs = 5_000;
/** How long one try may take: a machine that is gone, or a process that is stopped, says nothing at all. */
const tryMs = 5_000;
/** Different faults that are said; one that was said is not said again. */
const maxFaults = 8;

/**
 * Joins the gossip pool, and keeps trying while nobody answers: the others may start later. Then it looks for those that
 * did not answer, until each was reached: nodes that found only each other would wait for a cluster for ever, while its
 * founder, who may have been given nobody's address, starts last. It looks again for those that are gone, also for those
 * that left: a founder that left, came back and met nobody has founded another cluster, and nobody else would tell.
 */
export class Joiner {
  readonly #serf: Pick<Serf, 'join' | 'seek'>;
  readonly #addresses: readonly string[];
  readonly #clock: Clock;
  readonly #logger: Logger;
  #cancel: (() => void) | undefined;
  #seeker: Pick<Seeker, 'start' | 'stop'> | undefined;
  #retryMs = firstRetryMs;
  /** What was said to be wrong. */
  readonly #said = new Set<string>();
  #fault: string | undefined;
  /** Ends a try that is under way. */
  readonly #stopping = new AbortController();

  constructor(serf: Pick<Serf, 'join' | 'seek'>, addresses: readonly Address[], clock: Clock, logger: Logger) {
    this.#serf = serf;
    this.#addresses = addresses.map((address) => formatAddress(address.host, address.port));
    this.#clock = clock;
    this.#logger = logger;
  }

  get addresses(): readonly string[] {
    return this.#addresses;
  }

  /** Why nobody answered the last try; undefined before the first, and once somebody did. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /**
   * One try, of `withinMs` at most. Whether anybody answered; says so when nobody did, once for each fault, unless
   * `isQuiet`.
   */
  async tryOnce(withinMs: number = tryMs, isQuiet = false): Promise<boolean> {
    if (this.#addresses.length === 0 || this.#stopping.signal.aborted) return false;
    const abort = new AbortController();
    const stop = (): void => abort.abort(new Error('the try was stopped'));
    this.#stopping.signal.addEventListener('abort', stop, { once: true });
    const cancelTimeout = this.#clock.after(withinMs, () =>
      abort.abort(new Error(`no answer within ${Math.ceil(withinMs / 1_000)} s`)),
    );
    try {
      const count = await this.#join(abort.signal);
      if (count === 0) return false;
      if (this.#said.size > 0) this.#logger.info({}, `somebody answers at ${this.#addresses.join(', ')}`);
      this.#fault = undefined;
      return true;
    } catch (error) {
      if (this.#stopping.signal.aborted) return false;
      this.#fault = faultOf(error as Error);
      if (!isQuiet) this.#say(this.#fault);
      this.#logger.debug({ err: error }, 'a try to join the gossip pool failed');
      return false;
    } finally {
      cancelTimeout();
      this.#stopping.signal.removeEventListener('abort', stop);
    }
  }

  /** Rejects as soon as the signal aborts: a name that is being resolved does not heed it. */
  #join(signal: AbortSignal): Promise<number> {
    return new Promise((resolve, reject) => {
      // After those whom the join has reached by then: they count.
      signal.addEventListener('abort', () => setImmediate(reject, signal.reason), { once: true });
      this.#serf.join(this.#addresses, { signal }).then(resolve, reject);
    });
  }

  /** Tries in the background until somebody answers, and from then on looks for each that is not there. */
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

  /** Members that gossip has told of meanwhile count as reached. */
  async #seekRest(): Promise<void> {
    try {
      this.#seeker = this.#serf.seek(this.#addresses, {
        again: true,
        onFault: (address, fault) =>
          this.#logger.info({ address, fault }, 'an address is not joined; it is tried again'),
      });
      await this.#seeker.start();
    } catch (error) {
      this.#logger.debug({ err: error }, 'gossip has stopped: nobody is looked for');
    }
  }

  #say(fault: string): void {
    if (this.#said.has(fault) || this.#said.size >= maxFaults) return;
    this.#said.add(fault);
    const again = `trying again, first after ${firstRetryMs / 1000} s, at last every ${lastRetryMs / 1000} s`;
    this.#logger.warn({}, `nobody answers at ${this.#addresses.join(', ')}; ${again} (${fault})`);
  }
}

/** In one line, with what is likely behind it where that is not plain. */
function faultOf(error: Error): string {
  const fault = error.message.replace(/^no address answered: /, '');
  // A port of another protocol, or a member with another key, ends the stream at the first bytes.
  if (!/closed the stream without an answer/.test(fault)) return fault;
  return `${fault}: it takes the port of the other's --addr, not its --rpc-port, and the same --encrypt key`;
}
