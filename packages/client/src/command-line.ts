import { Command } from 'commander';

/** What `dcache-client` was asked. */
export type Request =
  | { readonly kind: 'get-servers'; readonly address: string }
  | { readonly kind: 'set'; readonly address: string; readonly key: string };

/** Understands both spellings of a flag, `-addr` and `--addr`. Throws a `CommanderError` after saying what is wrong. */
export function parseCommandLine(args: readonly string[], version: string): Request {
  const program = new Command('dcache-client')
    .description('Writes what it reads on standard input under a key, or prints the servers of the cluster.')
    .version(version)
    .option('--addr <host:port>', 'RPC address of any server', 'localhost:9200')
    .option('--get-servers', 'print every server of the cluster, one a line')
    .option('--key <key>', 'write standard input under this key')
    .helpOption('-h, --help', 'show this help')
    .addHelpText('after', '\nExamples:\n  dcache-client --get-servers\n  dcache-client --key K < path/to/file')
    .allowExcessArguments(false)
    .exitOverride();
  program.parse(
    args.map((arg) => (/^-[a-z][a-z-]/.test(arg) ? `-${arg}` : arg)),
    { from: 'user' },
  );
  const { addr, getServers, key } = program.opts<{ addr: string; getServers?: boolean; key?: string }>();
  if (getServers && key === undefined) return { kind: 'get-servers', address: addr };
  if (!getServers && key !== undefined) return { kind: 'set', address: addr, key };
  return program.error('error: give either --get-servers or --key KEY, not both', { exitCode: 2 });
}
