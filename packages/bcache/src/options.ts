import { type Clock, type Logger, type Random, silentLogger, systemClock, systemRandom } from '@dcache/base';
import type { Keyring } from '@dcache/serf';
import type { Bus } from './bus.js';
import { type Duration, show, toBytes, toMs } from './duration.js';
import { type FillDefaults, type FillOptions, noDefaults, resolveFill } from './fill/options.js';
import { type EvictionName, evictionNames } from './local/eviction/policy.js';
import { mostSlots } from './local/slots.js';
import type { TlsMaterial } from './net/listener.js';
import { type CopyMode, copyModes } from './value/copy.js';

/** Options of `createCache`. All may be left out: then the cache is of this process alone. */
export interface CacheOptions extends Omit<FillOptions, 'signal' | 'tags'> {
  /** Where to listen, `host:port`, with UDP and TCP. Default: nowhere, unless there are `peers`: then `0.0.0.0:0`. */
  readonly listen?: string;
  /** The same, as the reference calls it. */
  readonly listenAddr?: string;
  /** Where others reach this node, `host` or `host:port`. Default: where it listens. */
  readonly advertise?: string;
  /** TCP port of the streams between nodes. Default 0: one that is free; the nodes tell each other. */
  readonly streamPort?: number;
  /** Addresses of one or a few other nodes; gossip finds the rest. Each is tried until it is reached. Default none. */
  readonly peers?: readonly string[];
  /** Unique among the living nodes. Default: the host's name and a random suffix. */
  readonly peerId?: string;
  /** Nodes of another name are refused. Default `'bcache'`. */
  readonly cluster?: string;
  /** Keys in base64 (16, 24 or 32 bytes), the one to send with first: gossip and streams are encrypted. Default none. */
  readonly keyring?: Keyring | readonly string[];
  /** TLS for the streams; every node shows a certificate of the same authority. Default none. */
  readonly tls?: TlsMaterial;
  /** Carries messages instead of gossip and streams. */
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

export interface ResolvedOptions {
  readonly listen: string | undefined;
  readonly advertise: string | undefined;
  readonly streamPort: number;
  readonly peers: readonly string[];
  readonly peerId: string | undefined;
  readonly cluster: string;
  readonly keyring: Keyring | readonly string[] | undefined;
  readonly tls: TlsMaterial | undefined;
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

const defaultMaxKeys = 100_000;
const mostKeys = mostSlots - 1;

/** A checked copy; a `TypeError` names the option, what it got and what it takes. */
export function resolveOptions(options: CacheOptions = {}): ResolvedOptions {
  if (options === null || typeof options !== 'object')
    throw new TypeError(`createCache takes an object of options, got ${show(options)}`);
  const { peers = [], maxKeys, maxBytes, eviction = 'lru', copy = 'freeze' } = options;
  if (!Array.isArray(peers) || !peers.every((peer) => typeof peer === 'string'))
    throw new TypeError(`peers takes an array of addresses such as '192.168.0.2:12345', got ${show(peers)}`);
  const listen = options.listen ?? options.listenAddr ?? (peers.length > 0 ? '0.0.0.0:0' : undefined);
  if (maxKeys !== undefined && !(Number.isInteger(maxKeys) && maxKeys >= 1 && maxKeys <= mostKeys))
    throw new TypeError(`maxKeys takes an integer from 1 to ${mostKeys}, got ${show(maxKeys)}`);
  const { peerId, cluster = 'bcache', streamPort = 0 } = options;
  if (peerId !== undefined && !(typeof peerId === 'string' && /^[^/\0]{1,128}$/u.test(peerId)))
    throw new TypeError(`peerId takes 1 to 128 characters without '/', got ${show(peerId)}`);
  if (typeof cluster !== 'string' || cluster.length < 1 || cluster.length > 128)
    throw new TypeError(`cluster takes a name of 1 to 128 characters, got ${show(cluster)}`);
  if (!(Number.isInteger(streamPort) && streamPort >= 0 && streamPort < 65_536))
    throw new TypeError(`streamPort takes a port from 0 to 65535, got ${show(streamPort)}`);
  return {
    listen: listen === undefined ? undefined : checkAddress(listen),
    advertise: options.advertise,
    streamPort,
    peers: [...peers],
    peerId,
    cluster,
    keyring: options.keyring,
    tls: options.tls,
    bus: options.bus,
    maxKeys: maxKeys ?? (maxBytes === undefined ? defaultMaxKeys : mostKeys),
    maxBytes: maxBytes === undefined ? Number.POSITIVE_INFINITY : toBytes(maxBytes, 'maxBytes'),
    eviction: oneOf('eviction', eviction, evictionNames),
    copy: oneOf('copy', copy, copyModes),
    deletionDelayMs: atLeast('deletionDelay', toMs(options.deletionDelay ?? 100_000, 'deletionDelay'), 1_000),
    maxClockSkewMs: atLeast('maxClockSkew', toMs(options.maxClockSkew ?? 500, 'maxClockSkew'), 1),
    historyBytes: toBytes(options.historyBytes ?? '32mb', 'historyBytes'),
    maxQueueBytes: toBytes(options.maxQueueBytes ?? '16mb', 'maxQueueBytes'),
    fill: resolveFill(options, noDefaults),
    logger: options.logger ?? silentLogger,
    clock: options.clock ?? systemClock,
    random: options.random ?? systemRandom,
  };
}

/** `host:port`; a host without a port, or a port alone, is completed. */
function checkAddress(listen: unknown): string {
  const text = typeof listen === 'string' ? listen : '';
  const parts = /^(\[[^\]]+\]|[^:]*):(\d{1,5})$/.exec(text);
  if (parts === null || Number(parts[2]) > 65_535)
    throw new TypeError(`listen takes host:port such as '192.168.0.1:12345' or '[::1]:12345', got ${show(listen)}`);
  return parts[1] === '' ? `0.0.0.0:${parts[2]}` : text;
}

function oneOf<T extends string>(option: string, value: T, allowed: readonly T[]): T {
  if (!allowed.includes(value)) throw new TypeError(`${option} takes ${allowed.join(', ')}, got ${show(value)}`);
  return value;
}

function atLeast(option: string, value: number, least: number): number {
  if (!(value >= least)) throw new TypeError(`${option} takes ${least} ms or more, got ${value}`);
  return value;
}
