import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { maxDurationMs, parseDuration, ReadLevel } from '@dcache/protocol';
import { type Address, isUnspecified, parseAddress } from './address.js';

/** What a server may be told; everything has a default but the protocols it serves. */
export interface ServerOptions {
  /** Address that Serf binds to, `host:port`; its host is the RPC address's too. Default 127.0.0.1:9000. */
  readonly addr?: string;
  /** Serve gRPC clients. */
  readonly grpc?: boolean;
  /** Serve HTTP clients. */
  readonly http?: boolean;
  /** This node starts the cluster, unless one answers at the `join` addresses. */
  readonly bootstrap?: boolean;
  /** Where the Raft log and snapshots go. Default `<tmp>/dcache`. */
  readonly dataDir?: string;
  /** This node's name in the cluster. Default the host's name. */
  readonly id?: string;
  /** Keep even the Raft log in memory. Default true. */
  readonly inMemory?: boolean;
  /** Serf addresses to join. */
  readonly join?: readonly string[];
  /** Port for clients and Raft; 0 takes a free one. Default 9200. */
  readonly rpcPort?: number;
  /** What a read is answered from unless the request says otherwise. Default linearizable. */
  readonly readConsistency?: ReadLevel;
  /** Bytes of the longest value taken. Default 1 MiB. */
  readonly maxValueBytes?: number;
  /** Logical bytes of all entries, of the cluster that this node founds. Default 1 GiB. */
  readonly maxBytes?: number;
  /** Who goes when the cache is full, of the cluster that this node founds. Default sieve. */
  readonly eviction?: 'sieve' | 's3fifo' | 'fifo' | 'none';
  /** A value written here without a ttl lives this long, in milliseconds; 0 for ever. Default 0. */
  readonly defaultTtlMs?: number;
  /** How long a request waits for a leader or an answer, in milliseconds. Default 5,000. */
  readonly requestTimeoutMs?: number;
  /** A request that takes this long gets a line in the log, in milliseconds; 0 for none. Default 100. */
  readonly slowRequestMs?: number;
  /** Applied log entries kept for followers that lag; who lags more gets a snapshot. Default 10,000. */
  readonly trailingEntries?: number;
  /** What others dial for Serf, `host:port` or `host`; its host is the RPC address's too. Default the bound address. */
  readonly advertise?: string;
  /** Key for Serf, 16, 24 or 32 bytes in base64; peers prove that they know it. Default none. */
  readonly encrypt?: string;
  /** The Serf keys as a JSON array of base64; written when keys are rotated. */
  readonly keyringFile?: string;
  /** `host:port` on which the `serf` command line is answered. Default none. */
  readonly serfRpc?: string;
  /** Certificate and key of the one port, PEM; with them plaintext is refused. */
  readonly serverTlsCertFile?: string;
  readonly serverTlsKeyFile?: string;
  /** CA of the clients: they must show a certificate of it. */
  readonly serverTlsCaFile?: string;
  /** Certificate and key that this node shows when it dials another. */
  readonly peerTlsCertFile?: string;
  readonly peerTlsKeyFile?: string;
  /** CA of the nodes: peers must show a certificate of it with their name. */
  readonly peerTlsCaFile?: string;
  /** Tokens that clients must show, one a line; `read TOKEN` may only read. */
  readonly authTokenFile?: string;
  /** Serve on an address that others can reach without TLS and tokens. Default false. */
  readonly insecure?: boolean;
  /** A failed member is removed after this time, in milliseconds. Default 30,000 in memory, 600,000 on disk. */
  readonly removeFailedAfterMs?: number;
}

/** The default of `--data-dir`; whatever empties temporary folders empties it. */
export const defaultDataDir: string = join(tmpdir(), 'dcache');

/** Options that have no default: what is not given stays undefined. */
type Optional =
  | 'advertise'
  | 'encrypt'
  | 'keyringFile'
  | 'serfRpc'
  | 'serverTlsCertFile'
  | 'serverTlsKeyFile'
  | 'serverTlsCaFile'
  | 'peerTlsCertFile'
  | 'peerTlsKeyFile'
  | 'peerTlsCaFile'
  | 'authTokenFile';

export interface ResolvedOptions
  extends Required<Omit<ServerOptions, 'addr' | 'join' | Optional>>,
    Pick<ServerOptions, Exclude<Optional, 'advertise' | 'serfRpc'>> {
  /** The bounds that were given, not those that hold by default: a cluster may have been founded with others. */
  readonly asked: { readonly [Bound in 'maxBytes' | 'eviction']: ServerOptions[Bound] | undefined };
  readonly advertise: { readonly host: string; readonly port: number | undefined } | undefined;
  readonly serfRpc: Address | undefined;
  readonly serfAddress: Address;
  readonly join: readonly Address[];
}

/** A full copy of the options. Throws a `TypeError` that names the option, what it got and what it takes. */
export function resolveOptions(options: ServerOptions): ResolvedOptions {
  if (!options.grpc && !options.http) throw new TypeError('a server must serve something: give --grpc, --http or both');
  const inMemory = options.inMemory ?? true;
  const serfAddress = address('addr', options.addr ?? '127.0.0.1:9000');
  const rpcPort = integer('rpc-port', options.rpcPort ?? 9200, 0, 65_535);
  const serfRpc = options.serfRpc === undefined ? undefined : address('serf-rpc', options.serfRpc);
  checkPorts(serfAddress, rpcPort, serfRpc);
  return {
    serfAddress,
    grpc: options.grpc ?? false,
    http: options.http ?? false,
    bootstrap: options.bootstrap ?? false,
    dataDir: options.dataDir ?? defaultDataDir,
    id: name(options.id ?? hostname()),
    inMemory,
    join: (options.join ?? []).map((text) => address('join', text)),
    rpcPort,
    readConsistency: level(options.readConsistency ?? ReadLevel.linearizable),
    maxValueBytes: integer('max-value-bytes', options.maxValueBytes ?? 1_048_576, 1, 32 * 1_048_576),
    maxBytes: integer('max-bytes', options.maxBytes ?? 1_073_741_824, 1_048_576, Number.MAX_SAFE_INTEGER),
    eviction: policy(options.eviction ?? 'sieve'),
    asked: { maxBytes: options.maxBytes, eviction: options.eviction },
    defaultTtlMs: integer('default-ttl', options.defaultTtlMs ?? 0, 0, maxDurationMs),
    requestTimeoutMs: integer('request-timeout', options.requestTimeoutMs ?? 5_000, 1, 3_600_000),
    slowRequestMs: integer('slow-request', options.slowRequestMs ?? 100, 0, maxDurationMs),
    ...given(options),
    advertise: advertised(options.advertise),
    serfRpc,
    insecure: options.insecure ?? false,
    trailingEntries: integer('trailing-entries', options.trailingEntries ?? 10_000, 0, Number.MAX_SAFE_INTEGER),
    removeFailedAfterMs: integer(
      'remove-failed-after',
      options.removeFailedAfterMs ?? (inMemory ? 30_000 : 600_000),
      0,
      Number.MAX_SAFE_INTEGER,
    ),
  };
}

/** Bytes of `1048576`, `64kb`, `1.5mb`, `2GiB`; every unit counts in 1,024s. */
export function parseBytes(text: string, name: string): number {
  const parts = /^(\d{1,15}(?:\.\d{1,6})?)\s*(?:([kmgt])i?)?b?$/i.exec(text);
  const power = parts?.[2] ? 'kmgt'.indexOf(parts[2].toLowerCase()) + 1 : 0;
  const bytes = parts ? Math.round(Number(parts[1]) * 1024 ** power) : Number.NaN;
  if (!Number.isSafeInteger(bytes))
    throw new TypeError(`--${name} is ${JSON.stringify(text)}; it takes bytes, such as 1048576, 64mb or 2gb`);
  return bytes;
}

/** Milliseconds of `30s` and the like. */
export function parseDurationOption(text: string, name: string): number {
  try {
    return parseDuration(text, `--${name}`);
  } catch (error) {
    throw new TypeError((error as Error).message);
  }
}

function address(option: string, text: string): Address {
  const parsed = parseAddress(text);
  if (!parsed)
    throw new TypeError(`--${option} is ${JSON.stringify(text)}; it takes host:port, such as 127.0.0.1:9000`);
  return parsed;
}

/** A node that takes its own port away would say of it that it is in use, and leave the reader looking for another process. */
function checkPorts(serf: Address, rpcPort: number, serfRpc: Address | undefined): void {
  const taken: [option: string, address: Address][] = [
    ['addr', serf],
    ['rpc-port', { host: serf.host, port: rpcPort }],
  ];
  if (serfRpc) taken.push(['serf-rpc', serfRpc]);
  for (const [i, [option, { host, port }]] of taken.entries())
    for (const [other, { host: otherHost, port: otherPort }] of taken.slice(i + 1)) {
      const meet = host === otherHost || isUnspecified(host) || isUnspecified(otherHost);
      if (port !== 0 && port === otherPort && meet)
        throw new TypeError(`--${option} and --${other} are both ${port}; give each a port of its own`);
    }
}

/** A name travels in gossip and in logs: 1 to 128 bytes, and nothing that would break a line. */
function name(text: string): string {
  if (Buffer.byteLength(text) > 128 || !/^[^\p{C}\s/]+$/u.test(text))
    throw new TypeError(
      `--id is ${JSON.stringify(text)}; a name has 1 to 128 bytes without spaces, slashes or controls`,
    );
  return text;
}

function level(text: string): ReadLevel {
  const levels: readonly string[] = Object.values(ReadLevel);
  if (!levels.includes(text)) throw new TypeError(`--read-consistency is ${text}; it takes ${levels.join(', ')}`);
  return text as ReadLevel;
}

function policy(text: string): 'sieve' | 's3fifo' | 'fifo' | 'none' {
  if (text === 'sieve' || text === 's3fifo' || text === 'fifo' || text === 'none') return text;
  throw new TypeError(`--eviction is ${text}; it takes sieve, s3fifo, fifo, none`);
}

function integer(option: string, value: number, min: number, max: number): number {
  if (!Number.isSafeInteger(value) || value < min || value > max)
    throw new TypeError(`--${option} is ${value}; it takes an integer from ${min} to ${max}`);
  return value;
}

/** The files and keys that were given; an empty text counts as not given, as an unset variable does in a script. */
function given(options: ServerOptions): Pick<ServerOptions, Exclude<Optional, 'advertise' | 'serfRpc'>> {
  const names = [
    ...(['encrypt', 'keyringFile', 'authTokenFile', 'serverTlsCertFile', 'serverTlsKeyFile'] as const),
    ...(['serverTlsCaFile', 'peerTlsCertFile', 'peerTlsKeyFile', 'peerTlsCaFile'] as const),
  ];
  return Object.fromEntries(names.filter((name) => options[name]).map((name) => [name, options[name]]));
}

/** `host`, `host:port` or `[v6]:port`. */
function advertised(text: string | undefined): ResolvedOptions['advertise'] {
  if (text === undefined || text === '') return undefined;
  const whole =
    parseAddress(text) ?? parseAddress(text.includes(':') && !text.startsWith('[') ? `[${text}]:0` : `${text}:0`);
  if (!whole) throw new TypeError(`--advertise is ${JSON.stringify(text)}; it takes host or host:port`);
  return { host: whole.host, port: whole.port === 0 ? undefined : whole.port };
}
