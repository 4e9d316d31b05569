import { isUtf8 } from 'node:buffer';
import { readFile } from 'node:fs/promises';
import { CommanderError } from 'commander';
import { explain } from './advice.js';
import { Client } from './client.js';
import { type Connection, ExitCode, parseCommandLine } from './command-line.js';
import { complain } from './complaint.js';
import { Endings } from './ending.js';
import { ClientError, type ClientErrorCode } from './errors.js';
import { FileError, isOfDisk } from './file-error.js';
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
  using endings = new Endings();
  let isJson = false;
  let timeoutMs = Number.POSITIVE_INFINITY;
  const fail = (code: string, error: Error, exitCode: ExitCode, text = error.message): ExitCode => {
    complain(isJson, text, { code, reason: (error as Partial<ClientError>).reason, message: error.message });
    return exitCode;
  };
  try {
    await checkEncoding(args);
    const { connection, action } = parseCommandLine(args, version);
    ({ isJson, timeoutMs } = connection);
    await using client = await connect(connection);
    const { signal } = endings;
    const code = await run(client, action, {
      addresses: connection.addresses,
      isJson: connection.isJson,
      signal,
      progress: process.stderr,
    });
    return endings.by?.exitCode ?? code;
  } catch (error) {
    if (endings.by && error instanceof ClientError) {
      const message = `ended by ${endings.by.name}: ${error.message}`;
      complain(isJson, message, { code: error.code, message });
      return endings.by.exitCode;
    }
    // Commander has printed its own message, and calls help an error with exit code 0.
    if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.ok : ExitCode.usage;
    if (error instanceof TypeError && isOurs(error)) return fail('bad-argument', error, ExitCode.usage);
    if (error instanceof ClientError)
      return fail(
        error.code,
        error,
        exitCodes[error.code] ?? ExitCode.error,
        explain(error, timeoutMs) + strayAddress(error),
      );
    if (error instanceof FileError || isOfDisk(error)) return fail('file', error, ExitCode.error);
    throw error;
  }
}

/**
 * Refuses arguments that are no UTF-8. Node gives them with U+FFFD in the place of what it cannot read, so that different
 * keys would be one. Where the system does not show the bytes, an argument with that character is refused too.
 */
async function checkEncoding(args: readonly string[]): Promise<void> {
  const doubtful = args.find((arg) => arg.includes('\ufffd'));
  if (doubtful === undefined) return;
  const bytes = await readFile('/proc/self/cmdline').catch(() => undefined);
  if (bytes && isUtf8(bytes)) return;
  throw new TypeError(
    `the argument ${JSON.stringify(doubtful)} is no UTF-8; it takes text, and a key of other bytes goes over HTTP, percent-encoded`,
  );
}

async function connect(connection: Connection): Promise<Client> {
  const { addresses, timeoutMs, tokenFile } = connection;
  const token = tokenFile === undefined ? connection.token : await tokenIn(tokenFile);
  const tls = connection.isTls ? await readTls(connection) : undefined;
  try {
    return new Client({
      address: addresses,
      timeoutMs,
      ...(token === undefined ? {} : { token }),
      ...(tls ? { tls } : {}),
    });
  } catch (error) {
    throw error instanceof TypeError ? new TypeError(inFlags(error.message, connection), { cause: error }) : error;
  }
}

async function readTls({ caFile, certFile, keyFile, serverName }: Connection): Promise<TlsOptions> {
  return {
    ca: await readFlag('--tls-ca-file', caFile),
    cert: await readFlag('--tls-cert-file', certFile),
    key: await readFlag('--tls-key-file', keyFile),
    serverName,
  };
}

async function readFlag(flag: string, file: string | undefined, takes = 'PEM'): Promise<string | undefined> {
  if (file === undefined) return undefined;
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const { message } = new FileError(file, 'read', error as NodeJS.ErrnoException);
    throw new TypeError(`${flag} ${message}; it takes a file with ${takes}`, { cause: error });
  }
}

/** The library names its options; who sits at the command line knows flags and files. */
function inFlags(message: string, { caFile, certFile, keyFile }: Connection): string {
  return message
    .replace(/^address /, '--addr ')
    .replace(/^token /, '--token ')
    .replace(/^timeoutMs /, '--timeout in milliseconds ')
    .replace(/^tls\.ca /, `--tls-ca-file ${caFile} `)
    .replace(/^tls\.cert /, `--tls-cert-file ${certFile} `)
    .replace(/^tls\.key /, `--tls-key-file ${keyFile} `);
}

/** Whoever set the server's variable for this client should not have to guess. */
function strayAddress({ code }: ClientError): string {
  const { DCACHE_ADDR: servers, DCACHE_CLIENT_ADDR: own } = process.env;
  if (code !== 'unavailable' || servers === undefined || own !== undefined) return '';
  return " (DCACHE_ADDR, the servers' Serf address, is not read here; DCACHE_CLIENT_ADDR is)";
}

/** A wrong option says what it takes; any other TypeError is a fault of this program. */
function isOurs(error: TypeError): boolean {
  return /; it takes /.test(error.message);
}

/** The one token of a file. */
async function tokenIn(file: string): Promise<string> {
  const token = ((await readFlag('--token-file', file, 'one token')) ?? '').trim();
  if (/^[!-~]+$/.test(token)) return token;
  throw new TypeError(
    `--token-file ${file} holds no token; it takes one token and nothing else, where a server's --auth-token-file has many`,
  );
}
