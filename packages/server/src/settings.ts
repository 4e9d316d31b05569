import { hostname } from 'node:os';
import { defaultDataDir, parseBytes, parseDurationOption, type ServerOptions } from './options.js';

/** How a setting is written, whether as a flag, in the environment or in a file. */
export type SettingKind = 'boolean' | 'text' | 'list' | 'count' | 'bytes' | 'duration';

export interface Setting {
  /** As the flag is spelled, without its dashes. */
  readonly name: string;
  readonly kind: SettingKind;
  readonly description: string;
  /** What the help shows in the flag's place. */
  readonly placeholder?: string;
  /** As one would write it; undefined where the default depends on other settings. */
  readonly byDefault?: string;
  /** Never printed. */
  readonly isSecret?: boolean;
}

/** Everything `dcache` can be told; the help, the environment and the files all follow this table. */
export const settings: readonly Setting[] = [
  {
    name: 'addr',
    kind: 'text',
    placeholder: 'host:port',
    byDefault: '127.0.0.1:9000',
    description: 'address that Serf binds to; its host is the RPC address too',
  },
  { name: 'grpc', kind: 'boolean', byDefault: 'false', description: 'serve gRPC clients' },
  { name: 'http', kind: 'boolean', byDefault: 'false', description: 'serve HTTP clients' },
  { name: 'bootstrap', kind: 'boolean', byDefault: 'false', description: 'this node starts the cluster' },
  {
    name: 'data-dir',
    kind: 'text',
    placeholder: 'folder',
    byDefault: defaultDataDir,
    description: 'where the Raft log and snapshots go',
  },
  {
    name: 'id',
    kind: 'text',
    placeholder: 'name',
    byDefault: hostname(),
    description: "this node's name in the cluster",
  },
  { name: 'in-memory', kind: 'boolean', byDefault: 'true', description: 'keep even the Raft log in memory' },
  {
    name: 'join',
    kind: 'list',
    placeholder: 'addresses',
    byDefault: '',
    description: 'Serf addresses to join, comma separated or repeated',
  },
  {
    name: 'rpc-port',
    kind: 'count',
    placeholder: 'port',
    byDefault: '9200',
    description: 'port for clients and Raft',
  },
  {
    name: 'read-consistency',
    kind: 'text',
    placeholder: 'level',
    byDefault: 'linearizable',
    description: 'what reads are answered from unless a request says otherwise: local, lease or linearizable',
  },
  {
    name: 'max-value-bytes',
    kind: 'bytes',
    placeholder: 'bytes',
    byDefault: '1mb',
    description: 'the longest value taken',
  },
  {
    name: 'max-bytes',
    kind: 'bytes',
    placeholder: 'bytes',
    byDefault: '1gb',
    description: 'what all entries may take, in the cluster that this node founds',
  },
  {
    name: 'eviction',
    kind: 'text',
    placeholder: 'policy',
    byDefault: 'sieve',
    description: 'who goes when the cache is full, in the cluster that this node founds: sieve, s3fifo, fifo, none',
  },
  {
    name: 'default-ttl',
    kind: 'duration',
    placeholder: 'time',
    byDefault: '0',
    description: 'how long a value lives that is written here without a ttl; 0 for ever',
  },
  {
    name: 'request-timeout',
    kind: 'duration',
    placeholder: 'time',
    byDefault: '5s',
    description: 'how long a request waits for a leader',
  },
  {
    name: 'slow-request',
    kind: 'duration',
    placeholder: 'time',
    byDefault: '100ms',
    description: 'a request that takes this long gets a line in the log; 0 for none',
  },
  {
    name: 'trailing-entries',
    kind: 'count',
    placeholder: 'count',
    byDefault: '10000',
    description: 'log entries kept for followers that lag',
  },
  {
    name: 'remove-failed-after',
    kind: 'duration',
    placeholder: 'time',
    description: 'a failed member is removed after this (default 30s in memory, 10m on disk)',
  },
  {
    name: 'advertise',
    kind: 'text',
    placeholder: 'host[:port]',
    description: 'what others dial for Serf, and the host they dial for RPC (default: the bound address)',
  },
  {
    name: 'encrypt',
    kind: 'text',
    placeholder: 'key',
    description: 'encrypt Serf with this key, 16, 24 or 32 bytes in base64; peers prove that they know it',
    isSecret: true,
  },
  {
    name: 'keyring-file',
    kind: 'text',
    placeholder: 'file',
    description: 'the Serf keys as a JSON array, kept when keys are rotated',
  },
  {
    name: 'serf-rpc',
    kind: 'text',
    placeholder: 'host:port',
    description: 'answer the serf command line here (default: off)',
  },
  {
    name: 'server-tls-cert-file',
    kind: 'text',
    placeholder: 'file',
    description: 'certificate of the one port; with it plaintext is refused',
  },
  { name: 'server-tls-key-file', kind: 'text', placeholder: 'file', description: 'its key' },
  {
    name: 'server-tls-ca-file',
    kind: 'text',
    placeholder: 'file',
    description: 'CA of the clients: they must show a certificate of it',
  },
  {
    name: 'peer-tls-cert-file',
    kind: 'text',
    placeholder: 'file',
    description: 'certificate that this node shows when it dials another',
  },
  { name: 'peer-tls-key-file', kind: 'text', placeholder: 'file', description: 'its key' },
  {
    name: 'peer-tls-ca-file',
    kind: 'text',
    placeholder: 'file',
    description: 'CA of the nodes: peers must show a certificate of it with their name',
  },
  {
    name: 'auth-token-file',
    kind: 'text',
    placeholder: 'file',
    description: 'tokens that clients must show, one a line; read TOKEN may only read',
  },
  {
    name: 'insecure',
    kind: 'boolean',
    byDefault: 'false',
    description: 'serve on an address that others can reach without TLS and tokens',
  },
  {
    name: 'log-level',
    kind: 'text',
    placeholder: 'level',
    byDefault: 'info',
    description: 'trace, debug, info, warn, error or silent',
  },
];

/** A value as it was written: a list may have been written several times. */
export type Written = string | readonly string[];

/** Where a value comes from, the strongest first. */
export type Source = 'flag' | 'environment' | 'file' | 'default';

export interface Effective {
  readonly setting: Setting;
  /** Undefined where nothing was said and the default depends on others. */
  readonly written: Written | undefined;
  readonly source: Source;
  /** The flag, variable or file that said it. */
  readonly place: string;
}

/** What one source says, by setting name. */
export interface SourceValues {
  readonly source: Source;
  readonly values: ReadonlyMap<string, Written>;
  /** How the place of a value is named to people. */
  readonly placeOf: (name: string) => string;
}

/** Every setting with its value from the first source that has one; sources come with the strongest first. */
export function resolveSettings(sources: readonly SourceValues[]): Effective[] {
  return settings.map((setting) => {
    for (const { source, values, placeOf } of sources) {
      const written = values.get(setting.name);
      if (written !== undefined) return { setting, written, source, place: placeOf(setting.name) };
    }
    return { setting, written: setting.byDefault, source: 'default', place: 'default' };
  });
}

export type RunOptions = ServerOptions & { readonly logLevel: string };

const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'silent'];

/** The server's options. Throws a `TypeError` that names the place of a value that is wrong, and what it takes. */
export function toOptions(effective: readonly Effective[]): RunOptions {
  const options: Record<string, unknown> = {};
  for (const { setting, written, place, source } of effective) {
    if (written === undefined) continue;
    try {
      options[optionName(setting)] = parseSetting(setting, written);
    } catch (error) {
      // The message names the flag; say where it was written when that was elsewhere.
      const message = (error as Error).message;
      throw new TypeError(source === 'flag' || source === 'default' ? message : `${message} (${place})`);
    }
  }
  return options as unknown as RunOptions;
}

/** `rpc-port` is `rpcPort`; a duration's option names its unit. */
function optionName(setting: Setting): string {
  const camel = setting.name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
  return setting.kind === 'duration' ? `${camel}Ms` : camel;
}

function parseSetting(setting: Setting, written: Written): unknown {
  const { name, kind } = setting;
  if (kind === 'list') return [written].flat().flatMap((part) => part.split(',').filter((one) => one.trim() !== ''));
  if (typeof written !== 'string') throw new TypeError(`--${name} takes one value, got ${written.length}`);
  switch (kind) {
    case 'boolean':
      return parseBoolean(written, name);
    case 'count':
      if (!/^\d{1,15}$/.test(written))
        throw new TypeError(`--${name} is ${JSON.stringify(written)}; it takes a whole number`);
      return Number(written);
    case 'bytes':
      return parseBytes(written, name);
    case 'duration':
      return parseDurationOption(written, name);
    case 'text':
      if (name === 'log-level' && !logLevels.includes(written))
        throw new TypeError(`--log-level is ${JSON.stringify(written)}; it takes ${logLevels.join(', ')}`);
      return written;
  }
}

/** The spellings of a boolean that Go's flag package takes, and yes and no. */
function parseBoolean(text: string, name: string): boolean {
  if (/^(true|t|1|yes)$/i.test(text)) return true;
  if (/^(false|f|0|no)$/i.test(text)) return false;
  throw new TypeError(`--${name} is ${JSON.stringify(text)}; it takes true or false`);
}
