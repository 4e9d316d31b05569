import {
  ArgumentError,
  type Clock,
  type Known,
  type Logger,
  type Random,
  show,
  silentLogger,
  systemClock,
  systemRandom,
} from '@dcache/base';
import { checkInteger, checkKnown, checkMethods, checkWellFormed, oneOf } from './argument.js';
import type { Bus } from './bus.js';
import { type Duration, toBytes, toSpanMs } from './duration.js';
import { defaultNames, type FillDefaults, type FillOptions, noDefaults, resolveDefaults } from './fill/options.js';
import { type EvictionName, evictionNames } from './local/eviction/policies.js';
import { mostSlots } from './local/slots.js';
import { type NetworkOptions, networkNames, type ResolvedNetwork, resolveNetwork } from './net/options.js';
import { type CopyMode, copyModes } from './value/copy.js';

/** Options of `createCache`. All may be left out: then the cache is of this process alone. */
export interface CacheOptions extends NetworkOptions, Omit<FillOptions, 'signal' | 'tags'> {
  /** Unique among the living nodes. Default: the host's name and a random suffix. */
  readonly peerId?: string;
  /** Carries messages in the place of gossip and streams: an alternative to `listen`. Default none. */
  readonly bus?: Bus;

  /** Greatest number of keys. Default 100 000, or none where `maxBytes` is given. */
  readonly maxKeys?: number;
  /** Greatest size of keys and encoded values, in bytes or as `'64mb'`. Default none. */
  readonly maxBytes?: number | string;
  /** Who leaves when the cache is full. Default `'lru'`. */
  readonly eviction?: EvictionName;
  /** Who shares an object with whom. Default `'freeze'`: all readers share one frozen copy. */
  readonly copy?: CopyMode;

  /** How long deletions, and nodes that are gone, are remembered. Default 100 s. */
  readonly deletionDelay?: Duration;
  /** Writes stamped further ahead than this are refused, and stamped again. Default 500 ms. */
  readonly maxClockSkew?: Duration;
  /** Recent updates kept for nodes that missed some. Default `'32mb'`. */
  readonly historyBytes?: number | string;
  /** Bytes that may wait for one node; past them it is repaired instead. Default `'16mb'`. */
  readonly maxQueueBytes?: number | string;
  /** Anything of `pino`'s shape. Default: says nothing. */
  readonly logger?: Logger;
  readonly clock?: Clock;
  readonly random?: Random;
}

export interface ResolvedOptions extends ResolvedNetwork {
  readonly peerId: string | undefined;
  readonly bus: Bus | undefined;
  readonly maxKeys: number;
  readonly maxBytes: number;
  readonly eviction: EvictionName;
  readonly copy: CopyMode;
  readonly deletionDelayMs: number;
  readonly maxClockSkewMs: number;
  readonly historyBytes: number;
  readonly maxQueueBytes: number;
  readonly fill: FillDefaults;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly random: Random;
}

const names: Known<CacheOptions> = {
  ...networkNames,
  peerId: true,
  bus: true,
  maxKeys: true,
  maxBytes: true,
  eviction: true,
  copy: true,
  deletionDelay: true,
  maxClockSkew: true,
  historyBytes: true,
  maxQueueBytes: true,
  ...defaultNames,
  logger: true,
  clock: true,
  random: true,
};

const defaultMaxKeys = 100_000;
const mostKeys = mostSlots - 1;
const longestPeerId = 128;

/** A checked copy; an `ArgumentError` names the option, what it got and what it takes. */
export function resolveOptions(options: CacheOptions = {}): ResolvedOptions {
  checkKnown(options, names, 'createCache');
  const { peerId, bus, maxKeys, maxBytes, eviction = 'lru', copy = 'freeze' } = options;
  const { deletionDelay = 100_000, maxClockSkew = 500, historyBytes = '32mb', maxQueueBytes = '16mb' } = options;
  const { logger = silentLogger, clock = systemClock, random = systemRandom } = options;
  if (
    peerId !== undefined &&
    !(typeof peerId === 'string' && /^[^/\0]+$/.test(peerId) && peerId.length <= longestPeerId)
  )
    throw new ArgumentError(`peerId takes 1 to ${longestPeerId} characters without '/', got ${show(peerId)}`);
  if (peerId !== undefined) checkWellFormed('peerId', peerId);
  checkMethods('logger', logger, ['debug', 'info', 'warn', 'error']);
  checkMethods('clock', clock, ['monotonicMs', 'wallMs', 'after', 'every']);
  checkMethods('random', random, ['next', 'below']);
  if (bus !== undefined) checkMethods('bus', bus, ['start', 'members', 'broadcast', 'send', 'stop', 'stats']);
  return {
    ...resolveNetwork(options, bus !== undefined),
    peerId,
    bus,
    maxKeys:
      maxKeys === undefined
        ? maxBytes === undefined
          ? defaultMaxKeys
          : mostKeys
        : checkInteger('maxKeys', maxKeys, 1, mostKeys),
    maxBytes: maxBytes === undefined ? Number.POSITIVE_INFINITY : toBytes(maxBytes, 'maxBytes'),
    eviction: oneOf('eviction', eviction, evictionNames),
    copy: oneOf('copy', copy, copyModes),
    deletionDelayMs: toSpanMs(deletionDelay, 'deletionDelay', 1_000),
    maxClockSkewMs: toSpanMs(maxClockSkew, 'maxClockSkew', 1),
    historyBytes: toBytes(historyBytes, 'historyBytes'),
    maxQueueBytes: toBytes(maxQueueBytes, 'maxQueueBytes'),
    fill: resolveDefaults(options, noDefaults, names, 'createCache'),
    logger,
    clock,
    random,
  };
}
