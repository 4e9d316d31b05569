import { type Duration, show, toMs } from '../duration.js';

/** How a value is kept. */
export interface SetOptions {
  /** How long it is fresh. 0 or less deletes the key. Default: the cache's `ttl`, which is for ever by default. */
  readonly ttl?: Duration;
  /** How long it may be served after that, while a filler runs or where it fails. Default 0. */
  readonly grace?: Duration;
  /** `invalidateTags` removes all values of a tag. */
  readonly tags?: readonly string[];
}

export interface FillOptions extends SetOptions {
  /** The ttl is shortened by a random time up to this, so that what was stored together does not expire together. */
  readonly jitter?: Duration;
  /** A stale value within its grace is served when the filler takes longer than this. Default 0: at once. */
  readonly timeout?: Duration;
  /** The caller gets a `fill-timeout` after this; the filler is aborted when no caller is left. Default 30 s. */
  readonly hardTimeout?: Duration;
  /**
   * Refreshes popular values before they expire, the more likely the nearer the end and the slower the filler (XFetch).
   * `true` is 1; larger is earlier. Default: not.
   */
  readonly refreshAhead?: boolean | number;
  /** How long `null` is kept; and with it `undefined`, which then is kept as `null`. Default: `null` as any value. */
  readonly negativeTtl?: Duration;
  /** Detaches this caller. */
  readonly signal?: AbortSignal;
}

/** What a filler is given beside the key. */
export interface FillContext<V> {
  /** Aborts when the last caller has gone, at the hard timeout, and when the cache closes. */
  readonly signal: AbortSignal;
  /** The expired value, where one is within its grace. */
  readonly stale: V | undefined;
  /** `return skip()` stores nothing. */
  skip(): undefined;
  setTtl(ttl: Duration): void;
  setTags(tags: readonly string[]): void;
}

export type Filler<V> = (key: string, context: FillContext<V>) => V | undefined | Promise<V | undefined>;

/** What `getOrSet` falls back to where a call says nothing. */
export interface FillDefaults {
  readonly ttlMs: number;
  readonly graceMs: number;
  readonly jitterMs: number;
  readonly timeoutMs: number;
  readonly hardTimeoutMs: number;
  /** 0 for none. */
  readonly refreshAhead: number;
  /** undefined: `null` is kept as any value, `undefined` is not. */
  readonly negativeTtlMs: number | undefined;
  readonly tags: readonly string[];
}

export const noDefaults: FillDefaults = {
  ttlMs: Number.POSITIVE_INFINITY,
  graceMs: 0,
  jitterMs: 0,
  timeoutMs: 0,
  hardTimeoutMs: 30_000,
  refreshAhead: 0,
  negativeTtlMs: undefined,
  tags: [],
};

const maxTags = 1024;

/** Throws a `TypeError` that names the option, what it got and what it takes. */
export function resolveFill(options: FillOptions | undefined, defaults: FillDefaults): FillDefaults {
  if (options === undefined) return defaults;
  if (options === null || typeof options !== 'object')
    throw new TypeError(`options takes an object such as { ttl: '1h' }, got ${show(options)}`);
  const { ttl, grace, jitter, timeout, hardTimeout, negativeTtl, refreshAhead, tags } = options;
  return {
    ttlMs: ttl === undefined ? defaults.ttlMs : toMs(ttl, 'ttl'),
    graceMs: grace === undefined ? defaults.graceMs : positive(grace, 'grace'),
    jitterMs: jitter === undefined ? defaults.jitterMs : positive(jitter, 'jitter'),
    timeoutMs: timeout === undefined ? defaults.timeoutMs : positive(timeout, 'timeout'),
    hardTimeoutMs: hardTimeout === undefined ? defaults.hardTimeoutMs : positive(hardTimeout, 'hardTimeout'),
    negativeTtlMs: negativeTtl === undefined ? defaults.negativeTtlMs : toMs(negativeTtl, 'negativeTtl'),
    refreshAhead: refreshAhead === undefined ? defaults.refreshAhead : Number(refreshAhead),
    tags: tags === undefined ? defaults.tags : checkTags(tags),
  };
}

export function checkTags(tags: readonly string[]): readonly string[] {
  if (!Array.isArray(tags) || tags.length > maxTags || !tags.every((tag) => typeof tag === 'string'))
    throw new TypeError(`tags takes an array of at most ${maxTags} strings, got ${show(tags)}`);
  return tags;
}

function positive(duration: Duration, option: string): number {
  const ms = toMs(duration, option);
  if (ms < 0) throw new TypeError(`${option} takes a duration of 0 or more, got ${show(duration)}`);
  return ms;
}
