import type { Clock, Random } from '@dcache/base';
import { untilAborted } from './until-aborted.js';

/** What `Serf.seek` may be told. */
export interface SeekOptions {
  /** Look for an address again when the member there has left or failed. Default true. */
  readonly again?: boolean;
  /** How long one try may take. Default 2000 ms. */
  readonly tryMs?: number;
  /** Before an address is tried again; each wait is shortened by up to half, by chance. Default 1000 ms. */
  readonly firstWaitMs?: number;
  /** The wait doubles up to this. Default 15 000 ms. */
  readonly lastWaitMs?: number;
  /** Called when an address is not reached, once for each fault that is not the one before. Default: nobody hears of it. */
  readonly onFault?: (address: string, fault: string) => void;
  /**
   * Called at each try that finds somebody at an address: it answered, or is known as a living member, or is this member
   * itself. Default: nobody hears of it.
   */
  readonly onFound?: (address: string, who: 'other' | 'self') => void;
}

export interface SeekerOptions extends SeekOptions {
  /** Addresses of other nodes as they were given, `host:port` or `host`. */
  readonly addresses: readonly string[];
  /** The endpoints `ip:port` behind an address, at least one; rejects where there is none. */
  readonly resolve: (address: string) => Promise<readonly string[]>;
  /** Swaps what is known of the members with the node at an endpoint; rejects where none answers. */
  readonly join: (endpoint: string, signal: AbortSignal) => Promise<unknown>;
  readonly isSelf: (endpoint: string) => boolean;
  /** Whether a living member is there, another than this one. */
  readonly isMember: (endpoint: string) => boolean;
  /** It was stopped, and needs to hear of nobody. */
  readonly onStop: () => void;
  readonly clock: Clock;
  readonly random: Random;
}

interface Place {
  readonly address: string;
  endpoints: readonly string[];
  state: 'trying' | 'waiting' | 'reached';
  waitMs: number;
  /** Endpoints where a member was that has gone: an answer of one that is just leaving does not count. */
  readonly lost: Set<string>;
  /** What was told of it last, since it was reached. */
  told: string;
  cancel: () => void;
}

const defaults = { again: true, tryMs: 2_000, firstWaitMs: 1_000, lastWaitMs: 15_000 } as const;

/**
 * Looks for the members at given addresses, each until it has answered or is known as a living member, and again when
 * that member is gone. Made by `Serf.seek`.
 *
 * Each by itself: that one has answered, or that somebody has joined this member meanwhile, says nothing of the others.
 * Of members that start in the same instant each may find those it asks not listening yet, while a third one finds it;
 * whoever stopped asking then would leave two pools that never hear of each other.
 */
export class Seeker {
  readonly #options: SeekerOptions & Required<SeekOptions>;
  readonly #places: readonly Place[];
  #isStopped = false;
  #onJoined: () => void = () => {};

  constructor(options: SeekerOptions) {
    this.#options = { ...defaults, onFault: () => {}, onFound: () => {}, ...options };
    this.#places = [...new Set(options.addresses)].map((address) => ({
      address,
      endpoints: [],
      state: 'waiting',
      waitMs: this.#options.firstWaitMs,
      lost: new Set(),
      told: '',
      cancel: () => {},
    }));
  }

  /** Tries all addresses; resolves as soon as one has answered, otherwise with every address's fault. Never rejects. */
  start(): Promise<readonly string[]> {
    return new Promise((resolve) => {
      this.#onJoined = () => resolve([]);
      void Promise.all(this.#places.map((place) => this.#try(place))).then((faults) =>
        resolve(faults.filter((fault) => fault !== undefined)),
      );
    });
  }

  /** The member at an endpoint is gone. */
  lost(endpoint: string): void {
    if (!this.#options.again) return;
    for (const place of this.#places) {
      if (!place.endpoints.includes(endpoint)) continue;
      place.lost.add(endpoint);
      if (place.state === 'reached') this.#wait(place);
    }
  }

  stop(): void {
    this.#isStopped = true;
    for (const { cancel } of this.#places) cancel();
    this.#options.onStop();
  }

  /** Undefined when the address is reached, otherwise why not. */
  async #try(place: Place): Promise<string | undefined> {
    place.state = 'trying';
    const { clock, tryMs, firstWaitMs, isSelf, isMember, onFault } = this.#options;
    const abort = new AbortController();
    const cancelTimeout = clock.after(tryMs, () =>
      abort.abort(new Error(`${place.address} did not answer within ${tryMs} ms`)),
    );
    place.cancel = () => {
      cancelTimeout();
      abort.abort(new Error('the search was stopped'));
    };
    const fault = await this.#reach(place, abort.signal);
    cancelTimeout();
    if (this.#isStopped) return fault;
    if (fault === undefined) {
      place.state = 'reached';
      place.told = '';
      if (place.endpoints.some((endpoint) => place.lost.has(endpoint) && !isSelf(endpoint) && !isMember(endpoint)))
        this.#wait(place);
      else {
        place.lost.clear();
        place.waitMs = firstWaitMs;
      }
      return undefined;
    }
    // Before it is told: a listener may stop the search.
    this.#wait(place);
    if (place.told !== fault) onFault(place.address, fault);
    place.told = fault;
    return fault;
  }

  #wait(place: Place): void {
    if (this.#isStopped) return;
    const { clock, random, lastWaitMs } = this.#options;
    place.state = 'waiting';
    place.cancel = clock.after(place.waitMs * (0.5 + random.next() / 2), () => void this.#try(place));
    place.waitMs = Math.min(lastWaitMs, place.waitMs * 2);
  }

  async #reach(place: Place, signal: AbortSignal): Promise<string | undefined> {
    const { resolve, join, isSelf, isMember, onFound } = this.#options;
    try {
      // Anew each time: a name may stand for another machine by now.
      place.endpoints = await untilAborted(resolve(place.address), signal);
      const faults = await Promise.all(
        place.endpoints.map(async (endpoint) => {
          if (!isSelf(endpoint) && !isMember(endpoint)) {
            try {
              await untilAborted(join(endpoint, signal), signal);
            } catch (error) {
              return (error as Error).message;
            }
            this.#onJoined();
          }
          if (!this.#isStopped) onFound(place.address, isSelf(endpoint) ? 'self' : 'other');
          return undefined;
        }),
      );
      return isReached(place.endpoints, faults) ? undefined : faults.filter((fault) => fault !== undefined).join('; ');
    } catch (error) {
      return (error as Error).message;
    }
  }
}

/**
 * A name may stand for many nodes, then all are wanted; or for one node by IPv4 and by IPv6, then one of the two is
 * enough: all endpoints of one family.
 */
function isReached(endpoints: readonly string[], faults: readonly (string | undefined)[]): boolean {
  const isV6 = (endpoint: string): boolean => endpoint.startsWith('[');
  return [true, false].some((family) => {
    const own = endpoints.flatMap((endpoint, i) => (isV6(endpoint) === family ? [faults[i]] : []));
    return own.length > 0 && own.every((fault) => fault === undefined);
  });
}
