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
}

export interface ConflictVoteSetup {
  readonly ask: (name: string, payload: Uint8Array) => QueryHandle;
  readonly endpoint: () => Endpoint;
  /** Whether this member has joined only just now, and so is the one that came second. */
  readonly isNewcomer: () => boolean;
  readonly report: (report: ConflictReport) => void;
  readonly lost: (reason: SerfError) => void;
  readonly logger: Logger;
}

/**
 * Two live members with one name cannot both stay. Each asks the others where they believe the name lives; the one
 * that a majority of the answers does not name gives up. Without any answer the newcomer gives up; a Serf agent would
 * in any case, which lets an intruder end a pool of one.
 */
export class ConflictVote {
  readonly #setup: ConflictVoteSetup;
  #running = false;

  constructor(setup: ConflictVoteSetup) {
    this.#setup = setup;
  }

  onConflict(event: Extract<SerfEvent, { type: 'conflict' }>): void {
    const { name, mine } = event;
    const report = { name, mine, existing: describe(event.existing), other: describe(event.other) };
    this.#setup.logger.warn(report, 'two members use one name');
    this.#setup.report(report);
    if (!mine || this.#running) return;
    this.#running = true;
    this.#vote(name)
      .catch((error: Error) => this.#setup.logger.error({ error: error.message }, 'the vote about the name failed'))
      .finally(() => {
        this.#running = false;
      });
  }

  async #vote(name: string): Promise<void> {
    const { ask, endpoint, lost, logger } = this.#setup;
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
    lost(
      new SerfError(
        'conflict',
        `another live member is called ${name}, and ${matching} of ${answers} members side with this one`,
      ),
    );
  }
}
