import type { QueryFilter, QueryMessage } from './core/message.js';
import { SerfError } from './errors.js';

/** Options of a query to the pool. */
export interface QueryOptions {
  /** Which members are asked; all filters must match. Default all members. */
  readonly filters?: {
    /** Only these names. */
    readonly nodes?: readonly string[];
    /** Only members whose tag holds a match of the expression (RE2 syntax, not anchored). */
    readonly tags?: Readonly<Record<string, string>>;
  };
  /** How long answers are awaited, in ms. Default `gossipIntervalMs · queryTimeoutMult · ceil(log10(n + 1))`. */
  readonly timeoutMs?: number;
  /** Whether each member that gets the query says so at once. Default false. */
  readonly ack?: boolean;
  /** Other members over which each answer is sent too, 0 to 255. Default 0. */
  readonly relayFactor?: number;
}

export interface QueryAck {
  readonly type: 'ack';
  readonly from: string;
}

export interface QueryAnswer {
  readonly type: 'response';
  readonly from: string;
  readonly payload: Uint8Array;
}

/**
 * Acks and answers to a query as they come, each member's at most once. Iterate it once; it ends at the timeout, or
 * at `close()`, or when the loop is left. What is not read waits; members bound how much that can be.
 */
export class QueryHandle implements AsyncIterableIterator<QueryAck | QueryAnswer> {
  readonly #waiting: (QueryAck | QueryAnswer)[] = [];
  readonly #onClose: () => void;
  #wake: (() => void) | undefined;
  #closed = false;

  constructor(onClose: () => void) {
    this.#onClose = onClose;
  }

  /** Stops waiting for more. */
  close(): void {
    if (this.#closed) return;
    this.#onClose();
    this.finish();
  }

  async next(): Promise<IteratorResult<QueryAck | QueryAnswer, undefined>> {
    for (;;) {
      const value = this.#waiting.shift();
      if (value !== undefined) return { done: false, value };
      if (this.#closed) return { done: true, value: undefined };
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  return(): Promise<IteratorResult<QueryAck | QueryAnswer, undefined>> {
    this.close();
    this.#waiting.length = 0;
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** @internal */
  push(item: QueryAck | QueryAnswer): void {
    if (this.#closed) return;
    this.#waiting.push(item);
    this.#wake?.();
  }

  /** @internal */
  finish(): void {
    this.#closed = true;
    this.#wake?.();
  }
}

/** A query that a member asked. */
export interface IncomingQuery {
  readonly name: string;
  readonly payload: Uint8Array;
  /** Member that asks. */
  readonly from: string;
  readonly lTime: number;
  /** Milliseconds that the asker waits, counted from the receipt. */
  readonly timeoutMs: number;
  /**
   * Answers, once. Throws a `SerfError`: `too-large` above `queryResponseSizeBytes`, `timeout` when the asker no longer
   * waits or was answered.
   */
  respond(payload: Uint8Array): void;
}

export function incomingQuery(query: QueryMessage, respond: (payload: Uint8Array) => boolean): IncomingQuery {
  const { name, payload, sourceNode: from, lTime, timeoutMs } = query;
  return {
    name,
    payload,
    from,
    lTime,
    timeoutMs,
    respond(answer) {
      if (!respond(answer))
        throw new SerfError('timeout', `query ${name} of ${from} is over or was answered; it takes one answer`);
    },
  };
}

export function filtersOf(filters: QueryOptions['filters']): QueryFilter[] {
  const list: QueryFilter[] = [];
  if (filters?.nodes !== undefined && filters.nodes.length > 0) list.push({ kind: 'nodes', names: filters.nodes });
  for (const [tag, expression] of Object.entries(filters?.tags ?? {})) list.push({ kind: 'tag', tag, expression });
  return list;
}
