import { type Clock, type Logger, type Random, silentLogger, systemClock, systemRandom, utf8 } from '@dcache/base';
import type { ConflictReport } from './conflict.js';
import { lan, type Timing, userEventHardLimitBytes } from './core/config.js';
import { type HostPort, parseHostPort } from './host.js';
import { Keyring } from './wire/keyring.js';

/** Options of a `Serf`. Spread a profile in first, `{ ...lan(), name, bind }`; without one, `lan()` is used. */
export interface SerfOptions extends Partial<Timing> {
  /** Unique in the pool; 1 to 128 characters. No default. */
  readonly name: string;
  /** Where to listen, with UDP and TCP on one port: `host:port`. Port 0 takes one that is free. Default `0.0.0.0:7946`. */
  readonly bind?: string;
  /**
   * Where others reach this member, `host:port` or `host`. Default: the bound address, or for `0.0.0.0` the first
   * address of an interface that is not the loopback.
   */
  readonly advertise?: string;
  /** Announced to all members; at most 512 bytes encoded. Default none. */
  readonly tags?: Readonly<Record<string, string>> | ReadonlyMap<string, string>;
  /** Encrypts all traffic; all members need a common key. A `Keyring`, or keys in base64, the one to send with first. */
  readonly keyring?: Keyring | readonly string[];
  /** JSON file with keys in base64; read at the start, written when the keys change. With `keyring` it starts as that. */
  readonly keyringFile?: string;
  /** Remembers the pool here, to find it again after a restart. Default none. */
  readonly snapshotPath?: string;
  /** Rejoin from the snapshot even after a leave. Default false. */
  readonly rejoinAfterLeave?: boolean;
  /**
   * Asked when another live member uses this member's name, and again before it gives up: whether it keeps the name,
   * whatever the others say. Both go on then, each known to those that knew it first. Default: the others decide.
   */
  readonly keepsName?: (conflict: ConflictReport) => boolean;
  /** Only members with this label hear each other (memberlist 0.3 and later). At most 255 bytes. Default none. */
  readonly label?: string;
  /** Compress what is sent, where that is shorter. Default true. */
  readonly compress?: boolean;
  /** Estimate round trips (Vivaldi). Default true. */
  readonly coordinates?: boolean;
  /** Default: says nothing. */
  readonly logger?: Logger;
  readonly clock?: Clock;
  readonly random?: Random;
}

export interface ResolvedOptions {
  readonly name: string;
  readonly bind: HostPort;
  readonly advertise: HostPort | undefined;
  readonly tags: ReadonlyMap<string, string>;
  readonly keyring: Keyring | undefined;
  readonly keyringFile: string | undefined;
  readonly snapshotPath: string | undefined;
  readonly rejoinAfterLeave: boolean;
  readonly keepsName: (conflict: ConflictReport) => boolean;
  readonly label: Uint8Array;
  readonly compress: boolean;
  readonly coordinates: boolean;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly random: Random;
  readonly timing: Timing;
}

/** Smallest sensible value of each number that has one other than 1. */
const minimum: Partial<Record<keyof Timing, number>> = { indirectChecks: 0, gossipToTheDeadMs: 0, packetBytes: 512 };

/** A checked copy; a `TypeError` names the option, what it got and what it takes. */
export function resolveOptions(options: SerfOptions): ResolvedOptions {
  const { name, tags = {}, label = '' } = options;
  if (typeof name !== 'string' || name.length < 1 || name.length > 128)
    throw new TypeError(`name takes a string of 1 to 128 characters, got ${JSON.stringify(name)}`);
  const labelBytes = utf8(label);
  if (labelBytes.length > 255) throw new TypeError(`label takes at most 255 bytes, got ${labelBytes.length}`);
  const defaultPort = 7946;
  const bind = readAddress('bind', options.bind ?? `0.0.0.0:${defaultPort}`, defaultPort);
  const advertise =
    options.advertise === undefined ? undefined : readAddress('advertise', options.advertise, undefined);
  return {
    name,
    bind: { host: bind.host, port: bind.port ?? defaultPort },
    advertise,
    tags: checkTags(tags),
    keyring: readKeyring(options.keyring),
    keyringFile: options.keyringFile,
    snapshotPath: options.snapshotPath,
    rejoinAfterLeave: options.rejoinAfterLeave ?? false,
    keepsName: options.keepsName ?? (() => false),
    label: labelBytes,
    compress: options.compress ?? true,
    coordinates: options.coordinates ?? true,
    logger: options.logger ?? silentLogger,
    clock: options.clock ?? systemClock,
    random: options.random ?? systemRandom,
    timing: resolveTiming(options),
  };
}

/** A copy of the tags; a `TypeError` where one is not a string. */
export function checkTags(tags: Readonly<Record<string, string>> | ReadonlyMap<string, string>): Map<string, string> {
  const copy = new Map(tags instanceof Map ? tags : Object.entries(tags));
  for (const [key, value] of copy)
    if (typeof key !== 'string' || typeof value !== 'string')
      throw new TypeError(`tags takes strings, got ${typeof value} for ${String(key)}`);
  return copy;
}

function resolveTiming(options: SerfOptions): Timing {
  const defaults = lan();
  const timing: Record<string, number> = {};
  for (const key of Object.keys(defaults) as (keyof Timing)[]) {
    const value = options[key] ?? defaults[key];
    const least = minimum[key] ?? 1;
    if (typeof value !== 'number' || !Number.isFinite(value) || value < least)
      throw new TypeError(`${key} takes a number from ${least}, got ${String(value)}`);
    timing[key] = value;
  }
  const resolved = timing as unknown as Timing;
  if (resolved.userEventSizeBytes > userEventHardLimitBytes)
    throw new TypeError(
      `userEventSizeBytes takes at most ${userEventHardLimitBytes}, got ${resolved.userEventSizeBytes}`,
    );
  if (resolved.packetBytes > 65_000)
    throw new TypeError(`packetBytes takes at most 65000, got ${resolved.packetBytes}`);
  return resolved;
}

function readKeyring(keyring: SerfOptions['keyring']): Keyring | undefined {
  if (keyring === undefined || keyring instanceof Keyring) return keyring;
  return Keyring.fromBase64(keyring);
}

function readAddress(option: string, text: string, defaultPort: number | undefined): HostPort {
  const address = parseHostPort(text, defaultPort);
  if (address === undefined)
    throw new TypeError(`${option} takes host:port, such as 127.0.0.1:7946 or [::1]:7946, got ${JSON.stringify(text)}`);
  return address;
}
