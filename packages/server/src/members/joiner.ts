import type { Clock, Logger } from '@dcache/base';
import type { Seeker, Serf } from '@dcache/serf';
import { type Address, formatAddress } from '../settings/address.js';

/** The first wait before an address is tried again; it doubles up to the second. */
const firstWaitMs = 500;
const lastWaitMs = 5_000;
/** How long one try may take: a machine that is gone, or a process that is stopped, says nothing at all. */
const tryMs = 5_000;
/** Different faults that are said; one that was said is not said again. */
const maxFaults = 8;
const isSelf = 'it is this member itself';

/**
 * Joins the gossip pool, and keeps trying while nobody answers: the others may start later. Who does not answer is looked
 * for until it does: nodes that found only each other would wait for a cluster for ever, while its founder, who may have
 * been given nobody's address, starts last. It looks again for those that are gone, also for those that left: a founder
 * that left, came back and met nobody has founded another cluster, and nobody else would tell.
 */
export class Joiner {
  readonly #serf: Pick<Serf, 'seek'>;
  readonly #addresses: readonly string[];
  readonly #clock: Clock;
  readonly #logger: Logger;
  #seeker: Pick<Seeker, 'start' | 'stop'> | undefined;
  /** Why an address was not reached at its last try. */
  readonly #faults = new Map<string, string>();
  /**
   * Why nobody answers, as far as that was said; and why one does not while others do. Kept when it is found: behind one
   * name one place may answer and another not, in turns.
   */
  readonly #said = new Set<string>();
  readonly #saidMissing = new Map<string, Set<string>>();
  #fault: string | undefined;
  #isAnswered = false;
  #isStopped = false;
  /** Who waits for an answer. */
  readonly #waiting = new Set<() => void>();

  constructor(serf: Pick<Serf, 'seek'>, addresses: readonly Address[], clock: Clock, logger: Logger) {
    this.#serf = serf;
    this.#addresses = [...new Set(addresses.map((address) => formatAddress(address.host, address.port)))];
    this.#clock = clock;
    this.#logger = logger;
  }

  get addresses(): readonly string[] {
    return this.#addresses;
  }

  /** Why nobody answers; undefined before all were tried, and once somebody did. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /** Looks for all addresses from now on, in the background, until each was reached, and again for those that go. */
  start(): void {
    if (this.#addresses.length === 0 || this.#seeker !== undefined || this.#isStopped) return;
    this.#seeker = this.#serf.seek(this.#addresses, {
      ...{ again: true, tryMs, firstWaitMs, lastWaitMs },
      onFound: (address, who) => this.#found(address, who),
      onFault: (address, fault) => this.#failed(address, fault),
    });
    void this.#seeker.start();
  }

  /** Starts to look, and waits until somebody has answered, so long at most; whether somebody has. */
  answers(withinMs: number): Promise<boolean> {
    this.start();
    if (this.#isAnswered || this.#isStopped) return Promise.resolve(this.#isAnswered);
    return new Promise((resolve) => {
      const done = (): void => {
        cancel();
        this.#waiting.delete(done);
        resolve(this.#isAnswered);
      };
      const cancel = this.#clock.after(withinMs, done);
      this.#waiting.add(done);
    });
  }

  stop(): void {
    this.#isStopped = true;
    this.#seeker?.stop();
    for (const done of this.#waiting) done();
  }

  #found(address: string, who: 'other' | 'self'): void {
    if (who === 'self') {
      this.#failed(address, `${address}: ${isSelf}`);
      return;
    }
    this.#faults.delete(address);
    if (this.#isAnswered) return;
    this.#isAnswered = true;
    this.#fault = undefined;
    if (this.#said.size > 0) this.#logger.info({}, `somebody answers at ${this.#addresses.join(', ')}`);
    for (const done of this.#waiting) done();
    for (const [missing, fault] of this.#faults) this.#sayMissing(missing, fault);
  }

  #failed(address: string, reason: string): void {
    const fault = withCause(reason);
    this.#logger.debug({ address, fault }, 'an address of --join does not answer');
    this.#faults.set(address, fault);
    if (this.#isAnswered) this.#sayMissing(address, fault);
    else if (this.#faults.size === this.#addresses.length) this.#sayNobody();
  }

  #sayNobody(): void {
    const fault = this.#addresses.map((address) => this.#faults.get(address)).join('; ');
    this.#fault = fault;
    if (!isNew(this.#said, fault)) return;
    const again = `trying again, first after ${firstWaitMs / 1000} s, at last every ${lastWaitMs / 1000} s`;
    this.#logger.warn({}, `nobody answers at ${this.#addresses.join(', ')}; ${again} (${fault})`);
  }

  #sayMissing(address: string, fault: string): void {
    if (fault.endsWith(isSelf)) return;
    const said = this.#saidMissing.get(address) ?? new Set();
    this.#saidMissing.set(address, said);
    if (isNew(said, fault)) this.#logger.info({ address, fault }, 'an address is not joined; it is tried again');
  }
}

function isNew(said: Set<string>, fault: string): boolean {
  if (said.has(fault) || said.size >= maxFaults) return false;
  said.add(fault);
  return true;
}

/** With what is likely behind it where that is not plain. */
function withCause(fault: string): string {
  // A port of another protocol, or a member with another key, ends the stream at the first bytes.
  if (!/closed the stream without an answer/.test(fault)) return fault;
  return `${fault}: it takes the port of the other's --addr, not its --rpc-port, and the same --encrypt key`;
}
