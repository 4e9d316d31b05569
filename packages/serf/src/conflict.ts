import { type Logger, utf8 } from '@dcache/base';
import type { SerfEvent } from './core/effects.js';
import { sameEndpoint } from './core/members.js';
import type { Endpoint } from './core/message.js';
import { SerfError } from './errors.js';
import { describe } from './host.js';
import type { QueryHandle } from './query.js';
import { decodeConflictResponse } from './wire/internal.js';
import { WireError } from './wire/msgpack.js';

export interface ConflictReport {
  readonly name: string;
  /** Whether it is this member's own name. */
  readonly mine: boolean;
  /** `host:port` of the one that is known here, and of the other. */
  readonly existing: string;
  readonly other: string;
  /** The other's tags, as it announces them. */
  readonly tags: ReadonlyMap<string, string>;
}

export interface ConflictVoteSetup {
  readonly ask: (name: string, payload: Uint8Array) => QueryHandle;
  readonly endpoint: () => Endpoint;
  /** Whether this member has joined only just now, and so is the one that came second. */
  readonly isNewcomer: () => boolean;
  /** Whether this member keeps its name, whatever the others answer. */
  readonly keepsName: (report: ConflictReport) => boolean;
  readonly report: (report: ConflictReport) => void;
  readonly lost: (reason: SerfError) => void;
  readonly nowMs: () => number;
  readonly logger: Logger;
}

/** How long a conflict that was said is not said again, in milliseconds, and how many are remembered as said. */
const sayAgainMs = 300_000;
const maxSaid = 64;

/**
 * Two live members with one name cannot both stay. Each asks the others where they believe the name lives; the one
 * that a majority of the answers does not name gives up. Without any answer the newcomer gives up; a Serf agent would
 * in any case, which lets an intruder end a pool of one. `keepsName` goes before the vote: whoever has more to lose than
 * its name stays.
 */
export class ConflictVote {
  readonly #setup: ConflictVoteSetup;
  /** When each conflict was said last. */
  readonly #saidMs = new Map<string, number>();
  #running = false;

  constructor(setup: ConflictVoteSetup) {
    this.#setup = setup;
  }

  onConflict(event: Extract<SerfEvent, { type: 'conflict' }>): void {
    const { name, mine, tags } = event;
    const place = { name, mine, existing: describe(event.existing), other: describe(event.other) };
    if (this.#isNew(`${name} ${place.other}`)) this.#setup.logger.warn(place, 'two members use one name');
    const report = { ...place, tags };
    this.#setup.report(report);
    if (!mine || this.#running || this.#setup.keepsName(report)) return;
    this.#running = true;
    this.#vote(report)
      .catch((error: Error) => this.#setup.logger.error({ error: error.message }, 'the vote about the name failed'))
      .finally(() => {
        this.#running = false;
      });
  }

  /** Whether it is time to say this: two that both stay come up with every exchange of the pool. */
  #isNew(line: string): boolean {
    const nowMs = this.#setup.nowMs();
    for (const [old, atMs] of this.#saidMs) if (nowMs - atMs >= sayAgainMs) this.#saidMs.delete(old);
    if (this.#saidMs.has(line) || this.#saidMs.size >= maxSaid) return false;
    this.#saidMs.set(line, nowMs);
    return true;
  }

  async #vote(report: ConflictReport): Promise<void> {
    const { name } = report;
    const { ask, endpoint, keepsName, lost, logger } = this.#setup;
    const own = endpoint();
    const isNewcomer = this.#setup.isNewcomer();
    let [answers, matching] = [0, 0];
    for await (const item of ask('_serf_conflict', utf8(name))) {
      if (item.type !== 'response') continue;
      try {
        const where = decodeConflictResponse(item.payload);
        answers++;
        if (where !== undefined && sameEndpoint(where, own)) matching++;
      } catch (error) {
        if (!(error instanceof WireError)) throw error;
        logger.warn({ from: item.from, error: error.message }, 'a vote that cannot be read');
      }
    }
    if (answers === 0 ? !isNewcomer : matching >= Math.floor(answers / 2) + 1) {
      logger.info({ name, matching, answers }, 'the name is kept');
      return;
    }
    // Asked again: there may be more to lose by now.
    if (keepsName(report)) return;
    lost(
      new SerfError(
        'conflict',
        `another live member is called ${name}, and ${matching} of ${answers} members side with this one`,
      ),
    );
  }
}
