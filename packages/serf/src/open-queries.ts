import { utf8 } from '@dcache/base';
import type { SerfEvent } from './core/effects.js';
import { SerfError } from './errors.js';
import type { Parts } from './parts.js';
import { filtersOf, QueryHandle, type QueryOptions } from './query.js';

/** What comes of a query that this member asked. */
type QueryNews = Extract<SerfEvent, { type: 'query-ack' | 'query-response' | 'query-done' }>;

/** The queries that this member has asked and whose answers it still waits for. */
export class OpenQueries {
  readonly #maxBytes: number;
  readonly #handles = new Map<string, QueryHandle>();

  /** `maxBytes` is the most that a query may take, encoded. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  ask({ core, driver }: Parts, name: string, payload: Uint8Array | string, options: QueryOptions): QueryHandle {
    const { filters, timeoutMs = core.defaultQueryTimeoutMs, ack = false, relayFactor = 0 } = options;
    if (!Number.isInteger(relayFactor) || relayFactor < 0 || relayFactor > 255)
      throw new TypeError(`relayFactor takes an integer from 0 to 255, got ${relayFactor}`);
    if (!(timeoutMs > 0)) throw new TypeError(`timeoutMs takes a number above 0, got ${timeoutMs}`);
    const bytes = typeof payload === 'string' ? utf8(payload) : new Uint8Array(payload);
    const request = { name, payload: bytes, filters: filtersOf(filters), ack, relayFactor, timeoutMs };
    const size = core.sizeOfQuery(request);
    if (size > this.#maxBytes)
      throw new SerfError('too-large', `query ${name} takes ${size} bytes, allowed are ${this.#maxBytes}`);
    // The handle is registered before the query runs: this member may answer itself within the call.
    let asked = { lTime: 0, id: 0 };
    const handle = new QueryHandle(() => {
      this.#handles.delete(keyOf(asked));
      core.closeQuery(asked.lTime);
    });
    driver.run((_, nowMs) => {
      asked = core.query(nowMs, request);
      this.#handles.set(keyOf(asked), handle);
    });
    return handle;
  }

  onNews(news: QueryNews): void {
    const handle = this.#handles.get(keyOf(news));
    switch (news.type) {
      case 'query-ack':
        handle?.push({ type: 'ack', from: news.from });
        break;
      case 'query-response':
        handle?.push({ type: 'response', from: news.from, payload: news.payload });
        break;
      case 'query-done':
        handle?.finish();
        this.#handles.delete(keyOf(news));
    }
  }

  /** Nothing more comes: this member has ended. */
  finish(): void {
    for (const handle of this.#handles.values()) handle.finish();
    this.#handles.clear();
  }
}

function keyOf({ lTime, id }: { readonly lTime: number; readonly id: number }): string {
  return `${lTime}:${id}`;
}
