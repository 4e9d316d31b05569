import { DcacheError, maxDurationMs, parseDuration, ReadLevel } from '@dcache/protocol';
import { Command, InvalidArgumentError, Option } from 'commander';
import { similar } from './similar.js';

/** What every command takes. */
export interface Connection {
  readonly addresses: readonly string[];
  readonly timeoutMs: number;
  readonly isJson: boolean;
  readonly token: string | undefined;
  readonly tokenFile: string | undefined;
  readonly isTls: boolean;
  readonly caFile: string | undefined;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  readonly serverName: string | undefined;
}

interface Conditions {
  readonly ifAbsent?: boolean | undefined;
  readonly ifPresent?: boolean | undefined;
  readonly ifRevision?: number | undefined;
}

/** What `dcache-client` was asked. */
export type Action =
  | { readonly kind: 'get'; readonly key: string; readonly level: ReadLevel | undefined }
  | {
      readonly kind: 'set';
      readonly key: string;
      /** Without it and without `file` standard input is read, which must not be empty. */
      readonly value: string | undefined;
      /** `-` is standard input, even an empty one. */
      readonly file: string | undefined;
      readonly ttlMs: number | undefined;
      readonly conditions: Conditions;
    }
  | { readonly kind: 'delete'; readonly key: string; readonly ifRevision: number | undefined }
  | { readonly kind: 'servers' }
  | { readonly kind: 'status' }
  | { readonly kind: 'transfer-leadership'; readonly to: string | undefined }
  | { readonly kind: 'leave'; readonly id: string }
  | { readonly kind: 'snapshot-save'; readonly file: string; readonly level: SaveLevel }
  | { readonly kind: 'snapshot-restore'; readonly file: string; readonly replace: boolean }
  | {
      readonly kind: 'bench';
      readonly durationMs: number;
      readonly clients: number;
      readonly keys: number;
      readonly valueBytes: number;
      readonly readPercent: number;
      readonly level: ReadLevel | undefined;
    };

/** What a snapshot may be saved at. */
export type SaveLevel = Extract<ReadLevel, 'linearizable' | 'local'>;

export interface Request {
  readonly connection: Connection;
  readonly action: Action;
}

/** What the process ends with. Append only: scripts depend on it. */
export const ExitCode = {
  ok: 0,
  /** The server refused, or anything else; the message tells. */
  error: 1,
  usage: 2,
  /** No such key or member. */
  notFound: 3,
  /** The condition of a write did not hold. */
  preconditionFailed: 4,
  /** No server could be reached, or none answered in time; nothing was done. */
  unavailable: 5,
  /** The write may or may not have been applied. */
  unknownOutcome: 6,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** With less time than this a bench measures hardly more than its own beginning. */
const leastBenchMs = 100;

const epilogue = `
The original's flags work too: --get-servers prints the servers, --key K writes standard input under K.
A long flag may begin with one dash, as in -addr. A time without a unit counts milliseconds.

Environment, each weaker than its flag:
  DCACHE_CLIENT_ADDR  as --addr; DCACHE_ADDR is the servers' own and not read
  DCACHE_TOKEN        as --token

Exit codes:
  0  done
  1  refused or failed; standard error says why. Of status: the disks of a majority of the voters are full, or full and
     out of reach
  2  the command line is wrong, or a file that it names for TLS or the token
  3  no such key or member
  4  the condition of a write did not hold
  5  no server could be reached, or none answered in time; nothing was done. Of status: no leader, or no majority of the
     voters, answers; a server beyond that may be down
  6  the write may or may not have been applied
  130, 143  ended by SIGINT or SIGTERM

Examples:
  dcache-client set greeting hello --ttl 10m
  dcache-client get greeting
  dcache-client --key K < path/to/file
  dcache-client status --json
  dcache-client snapshot-save backup.dcache && dcache-client snapshot-restore backup.dcache --replace`;

/** Understands the command line. Throws a `CommanderError` after printing help or what is wrong. */
export function parseCommandLine(args: readonly string[], version: string): Request {
  let action: Action | undefined;
  const program = new Command('dcache-client')
    .description('Reads, writes and looks after a dcache cluster.')
    .version(version)
    .usage('[options] [command]')
    .addOption(
      new Option('--addr <host:port>', 'RPC address of any server, or of several with commas')
        .default('localhost:9200')
        .env('DCACHE_CLIENT_ADDR'),
    )
    .addOption(
      durationOption('--timeout <time>', 'how long a call may take, such as 500ms or 10s').default(10_000, '10s'),
    )
    .option('--json', 'print JSON, values in base64')
    .addOption(new Option('--token <token>', 'the token that the servers ask for').env('DCACHE_TOKEN'))
    .option('--token-file <file>', 'where that token stands')
    .option('--tls', "speak TLS and trust the system's authorities")
    .option('--tls-ca-file <file>', 'speak TLS and trust these authorities (PEM)')
    .option('--tls-cert-file <file>', 'the certificate that this client shows (PEM)')
    .option('--tls-key-file <file>', 'its key (PEM)')
    .option('--tls-server-name <name>', "the name in the servers' certificates, if it is not the host's")
    .addOption(new Option('--get-servers', 'same as the command servers'))
    .addOption(new Option('--key <key>', 'same as the command set, with standard input as the value'))
    .helpOption('-h, --help', 'show this help')
    .addHelpText('after', epilogue)
    .allowExcessArguments(true)
    .exitOverride()
    // The library begins with another word, and says in a second line what may be meant.
    .configureOutput({
      outputError: (text, write) => write(text.replace(/^error: /, 'dcache-client: ').replace('\n(', ' (')),
    })
    .hook('preAction', (_, command) => {
      const excess = command.args[command.registeredArguments.length];
      if (command !== program && excess !== undefined)
        program.error(
          `error: '${excess}' is one argument too many; usage: dcache-client ${command.name()} ${command.usage()}`,
        );
    })
    .action(() => {
      const [unknown] = program.args;
      if (unknown !== undefined) {
        const meant = similar(
          unknown,
          program.commands.map((one) => one.name()),
        );
        program.error(`error: unknown command '${unknown}'; ${meant ? `did you mean ${meant}?` : 'see --help'}`);
      }
      const { getServers, key } = program.opts<{ getServers?: boolean; key?: string }>();
      if (getServers && key === undefined) action = { kind: 'servers' };
      else if (!getServers && key !== undefined)
        action = { kind: 'set', key, value: undefined, file: '-', ttlMs: undefined, conditions: {} };
      else program.error('error: give a command, or either --get-servers or --key KEY; see --help');
    });
  const command = (name: string, description: string): Command =>
    program.command(name).description(description).allowExcessArguments(true);

  command('get <key>', 'write the value of a key to standard output; exit code 3 for a miss')
    .addOption(levelOption())
    .action((key: string, { consistency }: { consistency?: ReadLevel }) => {
      action = { kind: 'get', key, level: consistency };
    });
  command(
    'set <key> [value]',
    "write a key; without a value and --file, from standard input, if it is not empty; '' is an empty value",
  )
    .option('--file <file>', 'the file that holds the value; - is standard input, even an empty one')
    .option('--ttl <time>', 'how long it lives, such as 30s, 10m or 7d', duration())
    .option('--if-absent', 'only if the key is missing')
    .option('--if-present', 'only if the key exists')
    .option('--if-revision <revision>', 'only if the key has this revision', revision)
    .action((key: string, value: string | undefined, options: Conditions & { ttl?: number; file?: string }) => {
      const { ttl, file, ...conditions } = options;
      if (value !== undefined && file !== undefined) program.error('error: give a value or --file, not both');
      if (Object.keys(conditions).length > 1)
        program.error('error: give one of --if-absent, --if-present and --if-revision');
      action = { kind: 'set', key, value, file, ttlMs: ttl, conditions };
    });
  command('delete <key>', 'delete a key; exit code 3 where there was none')
    .option('--if-revision <revision>', 'only if the key has this revision', revision)
    .action((key: string, { ifRevision }: Conditions) => {
      action = { kind: 'delete', key, ifRevision };
    });
  command('servers', 'print every server of the cluster, one a line').action(() => {
    action = { kind: 'servers' };
  });
  command('status', "print each server's own view: role, indexes, entries, state hash").action(() => {
    action = { kind: 'status' };
  });
  command('transfer-leadership [id]', 'hand leadership to a voter, or to the one that is furthest').action(
    (to: string | undefined) => {
      action = { kind: 'transfer-leadership', to };
    },
  );
  command('leave <id>', 'make a member leave: in order if it is alive, else the leader removes it').action(
    (id: string) => {
      action = { kind: 'leave', id };
    },
  );
  command('snapshot-save <file>', 'save all entries as of now into a file; - is standard output')
    .addOption(
      new Option(
        '--consistency <level>',
        'linearizable: with every acknowledged write, which needs a majority; local: what the server at --addr has applied, without one, so that the last acknowledged writes may be missing',
      )
        .choices([ReadLevel.linearizable, ReadLevel.local] satisfies SaveLevel[])
        .default(ReadLevel.linearizable),
    )
    .action((file: string, { consistency }: { consistency: SaveLevel }) => {
      // Survivors are compared by what each one has, so it must be plain which one was asked.
      if (consistency === ReadLevel.local && program.opts<{ addr: string }>().addr.includes(','))
        program.error('error: --consistency local saves what one server has: give one --addr');
      action = { kind: 'snapshot-save', file, level: consistency };
    });
  command('snapshot-restore <file>', 'put saved entries into the cluster; - is standard input')
    .option('--replace', 'delete every entry first; else the cluster must be empty')
    .action((file: string, { replace }: { replace?: boolean }) => {
      action = { kind: 'snapshot-restore', file, replace: replace ?? false };
    });
  command(
    'bench',
    'measure operations a second and latencies; writes keys that begin with dcache-bench- and end by themselves',
  )
    .addOption(durationOption('--duration <time>', 'how long, from 100ms on', leastBenchMs).default(5_000, '5s'))
    .option('--clients <count>', 'operations under way at once', count(10_000), 32)
    .option('--keys <count>', 'different keys', count(10_000_000), 1_000)
    .option('--value-bytes <bytes>', 'bytes of a value', count(33_554_432), 100)
    .option('--reads <percent>', 'reads among the operations, 0 to 100', count(100, 0), 80)
    .addOption(levelOption())
    .action((options: { duration: number; clients: number; keys: number; valueBytes: number } & BenchReads) => {
      const { duration: durationMs, clients, keys, valueBytes, reads, consistency } = options;
      action = { kind: 'bench', durationMs, clients, keys, valueBytes, readPercent: reads, level: consistency };
    });

  program.parse(normalizeArguments(args), { from: 'user' });
  return { connection: toConnection(program), action: action! };
}

interface BenchReads {
  readonly reads: number;
  readonly consistency?: ReadLevel;
}

/** Long flags with one dash, as the original takes them; what stands after `--` is left alone. */
function normalizeArguments(args: readonly string[]): string[] {
  const end = args.indexOf('--');
  return args.map((arg, at) => ((end === -1 || at < end) && /^-[a-z][a-z-]/.test(arg) ? `-${arg}` : arg));
}

function toConnection(program: Command): Connection {
  const options = program.opts<
    Record<string, string | undefined> & { timeout: number; json?: boolean; tls?: boolean }
  >();
  const { token, tokenFile, tlsCaFile, tlsCertFile, tlsKeyFile, tlsServerName } = options as Record<
    string,
    string | undefined
  >;
  if ((tlsCertFile === undefined) !== (tlsKeyFile === undefined))
    program.error('error: --tls-cert-file and --tls-key-file come together');
  const isTokenInEnvironment = program.getOptionValueSource('token') === 'env';
  if (token !== undefined && tokenFile !== undefined && !isTokenInEnvironment)
    program.error('error: give --token or --token-file, not both');
  return {
    addresses: (options['addr'] ?? '').split(',').filter((part) => part !== ''),
    timeoutMs: options.timeout,
    isJson: options.json ?? false,
    // A variable that is set to nothing is how scripts say that there is none.
    token: isTokenInEnvironment && token === '' ? undefined : token,
    tokenFile,
    isTls:
      (options.tls ?? false) || tlsCaFile !== undefined || tlsCertFile !== undefined || tlsServerName !== undefined,
    caFile: tlsCaFile,
    certFile: tlsCertFile,
    keyFile: tlsKeyFile,
    serverName: tlsServerName,
  };
}

function levelOption(): Option {
  return new Option('--consistency <level>', "how fresh a read must be; default the server's setting").choices(
    Object.values(ReadLevel),
  );
}

function durationOption(flags: string, description: string, leastMs?: number): Option {
  return new Option(flags, description).argParser(duration(leastMs));
}

function duration(leastMs = 1): (text: string) => number {
  const least = leastMs === 1 ? 'above 0' : `from ${leastMs}ms`;
  return (text) => {
    try {
      const ms = parseDuration(text, 'it');
      if (ms >= leastMs) return ms;
    } catch (error) {
      if (!(error instanceof DcacheError)) throw error;
    }
    throw new InvalidArgumentError(
      `it takes a number with ms, s, m, h or d, such as 30s, ${least} and up to ${maxDurationMs / 86_400_000}d; without a unit it counts milliseconds.`,
    );
  };
}

function revision(text: string): number {
  if (!/^\d{1,16}$/.test(text) || !Number.isSafeInteger(Number(text)))
    throw new InvalidArgumentError('it takes a revision as get --json or set --json prints it.');
  return Number(text);
}

function count(most: number, least = 1): (text: string) => number {
  return (text) => {
    const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= least && value <= most)) throw new InvalidArgumentError(`it takes ${least} to ${most}.`);
    return value;
  };
}
