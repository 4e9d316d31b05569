import { readFile } from 'node:fs/promises';
import { CommanderError } from 'commander';
import { Client } from './client.js';
import { type Connection, ExitCode, parseCommandLine } from './command-line.js';
import { ClientError, type ClientErrorCode } from './errors.js';
import { run } from './run.js';
import type { TlsOptions } from './tls.js';
import { version } from './version.js';

const exitCodes: Partial<Record<ClientErrorCode, ExitCode>> = {
  'not-found': ExitCode.notFound,
  'precondition-failed': ExitCode.preconditionFailed,
  unavailable: ExitCode.unavailable,
  timeout: ExitCode.unavailable,
  'unknown-outcome': ExitCode.unknownOutcome,
};

/** Runs `dcache-client` with these arguments; resolves with the exit code. What is wrong is said on stderr in one line. */
export async function main(args: readonly string[]): Promise<number> {
  // Who reads our output may stop reading it, as `head` does; that is no fault.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
  try {
    const { connection, action } = parseCommandLine(args, version);
    await using client = await connect(connection);
    return await run(client, action, {
      address: connection.addresses[0] ?? '',
      isJson: connection.isJson,
      progress: process.stderr,
    });
  } catch (error) {
    // Commander has printed its own message, and calls help an error with exit code 0.
    if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.ok : ExitCode.usage;
    if (error instanceof TypeError && isOurs(error)) return fail(error, ExitCode.usage);
    if (error instanceof ClientError) return fail(error, exitCodes[error.code] ?? ExitCode.error);
    if (typeof (error as NodeJS.ErrnoException).syscall === 'string') return fail(error as Error, ExitCode.error);
    throw error;
  }
}

async function connect(connection: Connection): Promise<Client> {
  const { addresses, timeoutMs, tokenFile } = connection;
  const token = tokenFile === undefined ? connection.token : await tokenIn(tokenFile);
  return new Client({
    address: addresses,
    timeoutMs,
    ...(token === undefined ? {} : { token }),
    ...(connection.isTls ? { tls: await readTls(connection) } : {}),
  });
}

async function readTls({ caFile, certFile, keyFile, serverName }: Connection): Promise<TlsOptions> {
  const read = (file: string | undefined) => (file === undefined ? undefined : readFile(file));
  return { ca: await read(caFile), cert: await read(certFile), key: await read(keyFile), serverName };
}

function fail(error: Error, code: ExitCode): ExitCode {
  process.stderr.write(`dcache-client: ${error.message}\n`);
  return code;
}

/** A wrong option says what it takes; any other TypeError is a fault of this program. */
function isOurs(error: TypeError): boolean {
  return /; it takes /.test(error.message);
}

/** The one token of a file. */
async function tokenIn(file: string): Promise<string> {
  const token = (await readFile(file, 'utf8')).trim();
  if (/^[!-~]+$/.test(token)) return token;
  throw new TypeError(
    `--token-file ${file} holds no token; it takes one token and nothing else, where a server's --auth-token-file has many`,
  );
}
