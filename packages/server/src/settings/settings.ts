import { hostname } from 'node:os';
import { defaultDataDir } from './options.js';

/** How a setting is written, whether as a flag, in the environment or in a file. */
type SettingKind = 'boolean' | 'text' | 'list' | 'count' | 'bytes' | 'duration';

export interface Setting {
  /** As the flag is spelled, without its dashes. */
  readonly name: string;
  readonly kind: SettingKind;
  readonly description: string;
  /** What the help shows in the flag's place. */
  readonly placeholder?: string;
  /** As one would write it; undefined where nothing holds, or what cannot be written. */
  readonly byDefault?: string;
  /** The default with the log on disk, where that is another one. */
  readonly byDefaultOnDisk?: string;
  /** What holds where there is no default to write. Default none. */
  readonly otherwise?: string;
  /** Only a founder's counts. A default is not told to the server, so that it can say which value has no effect. */
  readonly isFounders?: boolean;
  /** Never printed. */
  readonly isSecret?: boolean;
  /** The heading under which the help shows it. */
  readonly group: keyof typeof groups;
}

/** The headings of the help, in their order. */
export const groups = {
  cluster: 'What it serves, and with whom:',
  cache: 'The cache:',
  disk: 'Memory and disk:',
  security: 'Who may talk to it (docs/security.md):',
  log: 'Log:',
} as const;

/** Everything `dcache` can be told; the help, the environment and the files all follow this table. */
export const settings: readonly Setting[] = [
  {
    name: 'addr',
    group: 'cluster',
    kind: 'text',
    placeholder: 'host:port',
    byDefault: '127.0.0.1:9000',
    description: 'address that Serf binds to, TCP and UDP; its host is the RPC address too',
  },
  { name: 'grpc', group: 'cluster', kind: 'boolean', byDefault: 'false', description: 'serve gRPC clients' },
  { name: 'http', group: 'cluster', kind: 'boolean', byDefault: 'false', description: 'serve HTTP clients' },
  {
    name: 'bootstrap',
    group: 'cluster',
    kind: 'boolean',
    byDefault: 'false',
    description: 'this node starts the cluster, unless --join leads to one',
  },
  {
    name: 'data-dir',
    group: 'disk',
    kind: 'text',
    placeholder: 'folder',
    byDefault: defaultDataDir,
    description: 'where the Raft log and snapshots go with --in-memory=false',
  },
  {
    name: 'id',
    group: 'cluster',
    kind: 'text',
    placeholder: 'name',
    byDefault: hostname(),
    description: "this node's name in the cluster, like no other's; by default the host's",
  },
  {
    name: 'in-memory',
    group: 'disk',
    kind: 'boolean',
    byDefault: 'true',
    description: 'keep even the Raft log in memory; --in-memory=false keeps it on disk',
  },
  {
    name: 'join',
    group: 'cluster',
    kind: 'list',
    placeholder: 'addresses',
    byDefault: '',
    description: 'Serf addresses of other nodes (their --addr), comma separated or repeated',
  },
  {
    name: 'rpc-port',
    group: 'cluster',
    kind: 'count',
    placeholder: 'port',
    byDefault: '9200',
    description: 'TCP port for clients and Raft',
  },
  {
    name: 'read-consistency',
    group: 'cache',
    kind: 'text',
    placeholder: 'level',
    byDefault: 'linearizable',
    description: 'what reads are answered from unless a request says otherwise: local, lease or linearizable',
  },
  {
    name: 'max-value-bytes',
    group: 'cache',
    kind: 'bytes',
    placeholder: 'bytes',
    byDefault: '1mb',
    description: 'the longest value taken, up to 32mb',
  },
  {
    name: 'max-bytes',
    group: 'cache',
    kind: 'bytes',
    placeholder: 'bytes',
    byDefault: '1gb',
    isFounders: true,
    description: 'what all entries may take, in the cluster that this node founds',
  },
  {
    name: 'eviction',
    group: 'cache',
    kind: 'text',
    placeholder: 'policy',
    byDefault: 'sieve',
    isFounders: true,
    description: 'who goes when the cache is full, in the cluster that this node founds: sieve, s3fifo, fifo, none',
  },
  {
    name: 'default-ttl',
    group: 'cache',
    kind: 'duration',
    placeholder: 'time',
    byDefault: '0',
    description: 'how long a value lives that is written here without a ttl; 0 for ever',
  },
  {
    name: 'request-timeout',
    group: 'cache',
    kind: 'duration',
    placeholder: 'time',
    byDefault: '5s',
    description: 'how long a request waits for a leader or an answer',
  },
  {
    name: 'slow-request',
    group: 'log',
    kind: 'duration',
    placeholder: 'time',
    byDefault: '100ms',
    description: 'a request that takes this long gets a line in the log; 0 for none',
  },
  {
    name: 'trailing-entries',
    group: 'disk',
    kind: 'count',
    placeholder: 'count',
    byDefault: '10000',
    description: 'log entries kept for followers that lag',
  },
  {
    name: 'remove-failed-after',
    group: 'cluster',
    kind: 'duration',
    placeholder: 'time',
    byDefault: '30s',
    byDefaultOnDisk: '10m',
    description: 'a failed member is removed after this',
  },
  {
    name: 'advertise',
    group: 'cluster',
    kind: 'text',
    placeholder: 'host[:port]',
    otherwise: 'the bound address',
    description: 'what others dial for Serf, and the host they dial for RPC',
  },
  {
    name: 'encrypt',
    group: 'security',
    kind: 'text',
    placeholder: 'key',
    description:
      'encrypt Serf with this key, 16, 24 or 32 bytes in base64 (head -c 32 /dev/urandom | base64); peers prove that they know it',
    isSecret: true,
  },
  {
    name: 'keyring-file',
    group: 'security',
    kind: 'text',
    placeholder: 'file',
    description: 'the Serf keys as a JSON array, kept when keys are rotated',
  },
  {
    name: 'serf-rpc',
    group: 'cluster',
    kind: 'text',
    placeholder: 'host:port',
    otherwise: 'off',
    description: 'answer the serf command line here',
  },
  {
    name: 'server-tls-cert-file',
    group: 'security',
    kind: 'text',
    placeholder: 'file',
    description: 'certificate of the one port; with it plaintext is refused',
  },
  {
    name: 'server-tls-key-file',
    group: 'security',
    kind: 'text',
    placeholder: 'file',
    description: 'key of --server-tls-cert-file',
  },
  {
    name: 'server-tls-ca-file',
    group: 'security',
    kind: 'text',
    placeholder: 'file',
    description: 'CA of the clients: they must show a certificate of it',
  },
  {
    name: 'peer-tls-cert-file',
    group: 'security',
    kind: 'text',
    placeholder: 'file',
    description: 'certificate that this node shows when it dials another',
  },
  {
    name: 'peer-tls-key-file',
    group: 'security',
    kind: 'text',
    placeholder: 'file',
    description: 'key of --peer-tls-cert-file',
  },
  {
    name: 'peer-tls-ca-file',
    group: 'security',
    kind: 'text',
    placeholder: 'file',
    description: 'CA of the nodes: peers must show a certificate of it with their name',
  },
  {
    name: 'auth-token-file',
    group: 'security',
    kind: 'text',
    placeholder: 'file',
    description: 'tokens that clients must show, one a line; read TOKEN may only read',
  },
  {
    name: 'insecure',
    group: 'security',
    kind: 'boolean',
    byDefault: 'false',
    description: 'serve on an address that others can reach without TLS and tokens',
  },
  {
    name: 'log-level',
    group: 'log',
    kind: 'text',
    placeholder: 'level',
    byDefault: 'info',
    description: 'trace, debug, info, warn, error or silent',
  },
];
