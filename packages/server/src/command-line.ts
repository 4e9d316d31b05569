import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { parseBytes, parseDurationOption, type ServerOptions } from './options.js';

/** Flags that are there or not; `--flag=false` turns one off. */
const booleanFlags = ['grpc', 'http', 'bootstrap', 'in-memory'];

/**
 * Both spellings of a long flag, `-addr` and `--addr`, and booleans with a value, `--in-memory=false`, in the form that
 * the command-line library takes. Throws a `TypeError` for a boolean that is neither.
 */
export function normalizeArguments(args: readonly string[]): string[] {
  return args.map((arg) => {
    const doubled = /^-[a-z][a-z-]/.test(arg) ? `-${arg}` : arg;
    const parts = /^--([a-z-]+)=(.*)$/.exec(doubled);
    if (!parts || !booleanFlags.includes(parts[1]!)) return doubled;
    if (/^(true|1|t|yes)$/i.test(parts[2]!)) return `--${parts[1]}`;
    if (/^(false|0|f|no)$/i.test(parts[2]!)) return `--no-${parts[1]}`;
    throw new TypeError(`--${parts[1]} is ${JSON.stringify(parts[2])}; it takes true or false`);
  });
}

/** What the command line says. Throws a `CommanderError` after printing help or what is wrong. */
export function parseCommandLine(args: readonly string[], version: string): ServerOptions & { logLevel: string } {
  const collect = (text: string, before: readonly string[] = []): string[] => [
    ...before,
    ...text.split(',').filter((part) => part !== ''),
  ];
  const program = new Command('dcache')
    .description('A distributed cache whose every node holds all data.')
    .version(version)
    .option('--addr <host:port>', 'address that Serf binds to; its host is the RPC address too', '127.0.0.1:9000')
    .option('--grpc', 'serve gRPC clients')
    .option('--no-grpc', 'do not serve gRPC clients')
    .option('--http', 'serve HTTP clients')
    .option('--no-http', 'do not serve HTTP clients')
    .option('--bootstrap', 'this node starts the cluster')
    .option('--no-bootstrap', 'this node does not start the cluster')
    .option('--data-dir <folder>', 'where the Raft log and snapshots go', join(tmpdir(), 'dcache'))
    .option('--id <name>', "this node's name in the cluster", hostname())
    .option('--in-memory', 'keep even the Raft log in memory (default true)')
    .option('--no-in-memory', 'keep the Raft log on disk; also --in-memory=false')
    .option('--join <addresses>', 'Serf addresses to join, comma separated or repeated', collect)
    .option('--rpc-port <port>', 'port for clients and Raft', wholeNumber, 9200)
    .option('--read-consistency <level>', 'local, lease or linearizable', 'linearizable')
    .option('--max-value-bytes <bytes>', 'the longest value taken, such as 1mb', bytes('max-value-bytes'), 1_048_576)
    .option('--max-bytes <bytes>', 'what all entries may take, such as 2gb', bytes('max-bytes'), 1_073_741_824)
    .option('--eviction <policy>', 'who goes when the cache is full: sieve, s3fifo, fifo, none', 'sieve')
    .option('--request-timeout <time>', 'how long a request waits for a leader', duration('request-timeout'), 5_000)
    .option('--trailing-entries <count>', 'log entries kept for followers that lag', wholeNumber, 10_000)
    .option('--remove-failed-after <time>', 'a failed member is removed after this', duration('remove-failed-after'))
    .option('--log-level <level>', 'trace, debug, info, warn, error or silent', logLevel, 'info')
    .helpOption('-h, --help', 'show this help')
    .allowExcessArguments(false)
    .exitOverride();
  // Commander gives an option and its --no- form one value; only --no-in-memory has a default of its own.
  program.parse(normalizeArguments(args), { from: 'user' });
  const { requestTimeout, removeFailedAfter, inMemory, ...rest } = program.opts();
  return {
    ...rest,
    inMemory: inMemory ?? true,
    requestTimeoutMs: requestTimeout,
    ...(removeFailedAfter === undefined ? {} : { removeFailedAfterMs: removeFailedAfter }),
  } as ServerOptions & { logLevel: string };
}

export { CommanderError };

function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('it takes a whole number.');
  return Number(text);
}

function bytes(name: string): (text: string) => number {
  return (text) => asArgument(() => parseBytes(text, name));
}

function duration(name: string): (text: string) => number {
  return (text) => asArgument(() => parseDurationOption(text, name));
}

function asArgument<Value>(parse: () => Value): Value {
  try {
    return parse();
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

function logLevel(text: string): string {
  const levels = ['trace', 'debug', 'info', 'warn', 'error', 'silent'];
  if (!levels.includes(text)) throw new InvalidArgumentError(`it takes ${levels.join(', ')}.`);
  return text;
}
