import { fstatSync } from 'node:fs';
import { ArgumentError } from '@dcache/base';
import { ClientError } from './errors.js';
import { FileError, isOfDisk } from './file-error.js';
import { openFor, unlessAborted } from './files.js';

/** The largest value that a server can be set to take. */
const mostValueBytes = 32 * 1_048_576;

/** Where values come from that no file is named for. */
export type Input = AsyncIterable<Buffer> & { readonly isTTY?: boolean };

/**
 * The value of a `set`, as standard input or a file has it: `-` is standard input asked for by name, and may be empty like
 * any file. Where nothing was asked for, an empty input is refused: it is what a job without a terminal has, a command that
 * failed before the pipe, or a variable that is not set. No more is read than a server could take.
 */
export async function readValue(
  file: string | undefined,
  signal: AbortSignal,
  input: Input = process.stdin,
  tell: (text: string) => void = (text) => process.stderr.write(text),
): Promise<Buffer> {
  const isFile = file !== undefined && file !== '-';
  const name = isFile ? file : 'standard input';
  // A person who waits must know who waits for whom.
  if (!isFile && input.isTTY)
    tell('dcache-client: the value is read from standard input, to its end (Ctrl-D at the beginning of a line)\n');
  const parts: Buffer[] = [];
  let bytes = 0;
  try {
    const source = isFile ? (await openFor('read', file, 'r', { signal })).createReadStream() : input;
    const reading = (async () => {
      for await (const part of source as AsyncIterable<Buffer>) {
        bytes += part.length;
        if (bytes > mostValueBytes)
          throw new ClientError(
            'too-large',
            `the value in ${name} has more than ${mostValueBytes} bytes; no server takes more, by default 1048576 (--max-value-bytes)`,
          );
        parts.push(part);
      }
    })();
    await unlessAborted(reading, signal);
  } catch (error) {
    if (signal.aborted) throw new ClientError('aborted', 'nothing was written', { cause: error });
    throw isOfDisk(error) ? new FileError(name, 'read', error) : error;
  }
  // A folder in the place of standard input reads as nothing.
  if (bytes === 0 && !isFile && input === process.stdin && isFolder(0))
    throw new ArgumentError('standard input is a folder; it takes a file or a pipe');
  if (bytes === 0 && file === undefined)
    throw new ArgumentError(
      "there is no value: none was given, and standard input is empty; it takes one after the key, in --file or on standard input, and '' or --file - for an empty one",
    );
  return Buffer.concat(parts);
}

function isFolder(fd: number): boolean {
  try {
    return fstatSync(fd).isDirectory();
  } catch {
    return false;
  }
}
