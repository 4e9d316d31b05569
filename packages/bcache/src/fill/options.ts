import { ArgumentError, type Known, show } from '@dcache/base';
import { checkKnown, checkWellFormed } from '../argument.js';
import { type Duration, toSpanMs, toTimerMs, toTtlMs } from '../duration.js';

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
  /**
   * The caller gets a `fill-timeout` after this; the filler is aborted when no caller is left. 1 ms to 24 days, or
   * Infinity for none. Default 30 s.
   */
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
const maxTagLength = 1024;

export const setNames: Known<SetOptions> = { ttl: true, grace: true, tags: true };
/** What a cache or a namespace has a default of. */
export const defaultNames: Known<Omit<FillOptions, 'signal' | 'tags'>> = {
  ttl: true,
  grace: true,
  jitter: true,
  timeout: true,
  hardTimeout: true,
  refreshAhead: true,
  negativeTtl: true,
};
export const fillNames: Known<FillOptions> = { ...defaultNames, tags: true, signal: true };

/** The options of one call, or of a namespace; `known` are those it has. Throws an `ArgumentError`. */
export function resolveFill(
  options: FillOptions | undefined,
  defaults: FillDefaults,
  known: Readonly<Record<string, true>>,
  of: string,
): FillDefaults {
  if (options === undefined) return defaults;
  checkKnown(options, known, of);
  const { ttl, grace, jitter, timeout, hardTimeout, negativeTtl, refreshAhead, tags, signal } = options;
  if (signal !== undefined) checkSignal(signal);
  return {
    ttlMs: ttl === undefined ? defaults.ttlMs : toTtlMs(ttl, 'ttl'),
    graceMs: grace === undefined ? defaults.graceMs : toSpanMs(grace, 'grace'),
    jitterMs: jitter === undefined ? defaults.jitterMs : toSpanMs(jitter, 'jitter'),
    timeoutMs: timeout === undefined ? defaults.timeoutMs : toTimerMs(timeout, 'timeout', 0, true),
    hardTimeoutMs: hardTimeout === undefined ? defaults.hardTimeoutMs : toTimerMs(hardTimeout, 'hardTimeout', 1, true),
    negativeTtlMs: negativeTtl === undefined ? defaults.negativeTtlMs : toTtlMs(negativeTtl, 'negativeTtl'),
    refreshAhead: refreshAhead === undefined ? defaults.refreshAhead : factorOf(refreshAhead),
    tags: tags === undefined ? defaults.tags : checkTags(tags),
  };
}

/** The defaults of a cache or a namespace; a ttl that would make each `set` delete is none. */
export function resolveDefaults(
  options: FillOptions,
  defaults: FillDefaults,
  known: Readonly<Record<string, true>>,
  of: string,
): FillDefaults {
  const resolved = resolveFill(options, defaults, known, of);
  if (resolved.ttlMs <= 0) throw new ArgumentError(`${of} takes a ttl above 0, got ${show(options.ttl)}`);
  return resolved;
}

export function checkTags(tags: readonly string[]): readonly string[] {
  if (!Array.isArray(tags) || tags.length > maxTags)
    throw new ArgumentError(`tags takes an array of at most ${maxTags} strings, got ${show(tags)}`);
  for (const tag of tags) {
    if (typeof tag !== 'string' || tag.length > maxTagLength)
      throw new ArgumentError(`tags takes strings of at most ${maxTagLength} characters, got ${show(tag)}`);
    checkWellFormed('tags', tag);
  }
  return tags;
}

function factorOf(refreshAhead: unknown): number {
  if (typeof refreshAhead === 'boolean') return Number(refreshAhead);
  if (typeof refreshAhead !== 'number' || !(refreshAhead >= 0 && refreshAhead < Number.POSITIVE_INFINITY))
    throw new ArgumentError(`refreshAhead takes true, false or a number of 0 or more, got ${show(refreshAhead)}`);
  return refreshAhead;
}

function checkSignal(signal: unknown): void {
  if (!(signal instanceof AbortSignal)) throw new ArgumentError(`signal takes an AbortSignal, got ${show(signal)}`);
}
