import type { IncomingQuery } from '../query.js';

/** Queries that clients were told of, by the number they answer to. */
export class QueryRegister {
  static readonly #maxQueries = 4096;
  readonly #byId = new Map<number, IncomingQuery>();
  readonly #idByQuery = new WeakMap<IncomingQuery, number>();
  #nextId = 1;

  idOf(query: IncomingQuery): number {
    const known = this.#idByQuery.get(query);
    if (known !== undefined) return known;
    const id = this.#nextId++;
    this.#idByQuery.set(query, id);
    this.#byId.set(id, query);
    // The oldest goes: its asker has most likely stopped waiting.
    if (this.#byId.size > QueryRegister.#maxQueries) this.#byId.delete(this.#byId.keys().next().value!);
    return id;
  }

  get(id: number): IncomingQuery | undefined {
    return this.#byId.get(id);
  }
}
