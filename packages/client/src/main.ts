import { Client } from './client.js';
import { parseCommandLine } from './command-line.js';
import { ClientError } from './errors.js';
import { formatServer } from './format.js';
import { version } from './version.js';

/** Runs `dcache-client` with these arguments; resolves with the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  try {
    const request = parseCommandLine(args, version);
    const client = new Client({ address: request.address });
    try {
      if (request.kind === 'get-servers') {
        for (const server of await client.servers()) process.stdout.write(`${formatServer(server)}\n`);
      } else {
        await client.set(request.key, await readAll(process.stdin));
      }
      return 0;
    } finally {
      await client.close();
    }
  } catch (error) {
    // Commander has printed its own message, and calls help an error with exit code 0.
    if (typeof (error as { exitCode?: unknown }).exitCode === 'number') return (error as { exitCode: number }).exitCode;
    if (!(error instanceof ClientError || error instanceof TypeError)) throw error;
    process.stderr.write(`dcache-client: ${error.message}\n`);
    return 1;
  }
}

async function readAll(input: NodeJS.ReadStream): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of input) parts.push(part as Buffer);
  return Buffer.concat(parts);
}
