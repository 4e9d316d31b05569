import type { QueryFilter, QueryMessage, QueryResponse, Tags } from './message.js';
import { matchesPattern } from './pattern.js';

/** Queries of one Lamport time that are remembered. */
const maxIdsPerSlot = 1024;

/** Remembers queries of the last Lamport times, as `EventBuffer` does events. */
export class QueryBuffer {
  readonly #slots: ({ readonly lTime: number; readonly ids: Set<number> } | undefined)[];
  #minTime = 0;

  constructor(size: number) {
    this.#slots = new Array<undefined>(size).fill(undefined);
  }

  ignoreBefore(lTime: number): void {
    this.#minTime = Math.max(this.#minTime, lTime);
  }

  /** Whether the query is new. `clockTime` is the clock after it witnessed the query. */
  add(query: QueryMessage, clockTime: number): boolean {
    const size = this.#slots.length;
    if (query.lTime < this.#minTime) return false;
    if (clockTime > size && query.lTime < clockTime - size) return false;
    const place = query.lTime % size;
    const slot = this.#slots[place];
    if (slot === undefined || slot.lTime !== query.lTime) {
      this.#slots[place] = { lTime: query.lTime, ids: new Set([query.id]) };
      return true;
    }
    if (slot.ids.has(query.id) || slot.ids.size >= maxIdsPerSlot) return false;
    slot.ids.add(query.id);
    return true;
  }
}

/** A query with more filters on tags is for nobody: each costs time in proportion to its length and the value's. */
const maxTagFilters = 16;

/** Whether a query's filters all take a member of this name and these tags. */
export function filtersMatch(filters: readonly QueryFilter[], name: string, tags: Tags): boolean {
  if (filters.filter((filter) => filter.kind === 'tag').length > maxTagFilters) return false;
  return filters.every((filter) => {
    if (filter.kind === 'nodes') return filter.names.includes(name);
    if (filter.kind === 'tag') return matchesPattern(filter.expression, tags.get(filter.tag) ?? '');
    return false;
  });
}

interface PendingQuery {
  readonly id: number;
  readonly acks: Set<string>;
  readonly answers: Set<string>;
}

/** A query of ours takes no more than this many acks, and as many answers: names in them can be made up. */
const maxResponders = 65_536;

/** This member's own queries that still wait for answers. */
export class PendingQueries {
  readonly #byTime = new Map<number, PendingQuery>();

  get size(): number {
    return this.#byTime.size;
  }

  open(lTime: number, id: number): void {
    this.#byTime.set(lTime, { id, acks: new Set(), answers: new Set() });
  }

  /** Whether it was still open. */
  close(lTime: number): boolean {
    return this.#byTime.delete(lTime);
  }

  /** What a response is, when it belongs to an open query and its sender has not sent the like before. */
  take(response: QueryResponse): 'ack' | 'answer' | undefined {
    const pending = this.#byTime.get(response.lTime);
    if (pending === undefined || pending.id !== response.id) return undefined;
    const isAck = (response.flags & 1) !== 0;
    const seen = isAck ? pending.acks : pending.answers;
    if (seen.has(response.from) || seen.size >= maxResponders) return undefined;
    seen.add(response.from);
    return isAck ? 'ack' : 'answer';
  }
}
