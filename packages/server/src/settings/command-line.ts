import { Command, Option } from 'commander';
import type { SourceValues, Written } from './effective.js';
import { groups, type Setting, settings } from './settings.js';

/** What the command line asks for. */
export interface CommandLine {
  /** `run` a node, or print its `config`. */
  readonly action: 'run' | 'config';
  readonly flags: SourceValues;
  /** The configuration file, if one is named. */
  readonly conf: string | undefined;
}

const epilogue = `
<bytes> is a number with kb, mb, gb or tb (1kb = 1024), <time> a number with ms, s, m, h or d; without a unit they
are bytes and milliseconds. A flag without <...> takes --flag, --no-flag or --flag=false.

Each flag can also be set in the environment, --rpc-port as DCACHE_RPC_PORT, and in the file of --conf (or DCACHE_CONF)
as rpc-port. Flags win over the environment, the environment over the file. dcache config prints what holds and why.

Three nodes on this machine:
  dcache --id node1 --http --grpc --bootstrap
  dcache --id node2 --http --grpc --addr 127.0.0.1:9001 --rpc-port 9201 --join 127.0.0.1:9000
  dcache --id node3 --http --grpc --addr 127.0.0.1:9002 --rpc-port 9202 --join 127.0.0.1:9000`;

const booleanFlags = settings.filter((setting) => setting.kind === 'boolean').map((setting) => setting.name);

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
export function parseCommandLine(args: readonly string[], version: string): CommandLine {
  const program = new Command('dcache')
    .description('A distributed cache whose every node holds all data.')
    .version(version)
    .argument('[command]', 'config: print the effective settings and where each comes from')
    .option('--conf <file>', 'a configuration file: JSON, TOML, YAML, HCL, INI, dotenv, Java properties')
    .helpOption('-h, --help', 'show this help')
    .addHelpText('after', epilogue)
    .configureOutput({
      outputError: (text, write) =>
        write(
          `${text
            .trim()
            .replace(/^error: /, 'dcache: ')
            .replaceAll('\n', ' ')}\n`,
        ),
    })
    .allowExcessArguments(false)
    .exitOverride();
  for (const setting of Object.keys(groups).flatMap((group) => settings.filter((one) => one.group === group))) {
    const { name, kind, placeholder, description, group } = setting;
    const shown = `${description} (default ${shownDefault(setting)})`;
    const flag = new Option(kind === 'boolean' ? `--${name}` : `--${name} <${placeholder}>`, shown);
    flag.helpGroup(groups[group]);
    if (kind === 'list') flag.argParser(collect);
    else refuseTwice(program, name, kind === 'boolean');
    program.addOption(flag);
    if (kind === 'boolean') program.addOption(new Option(`--no-${name}`).hideHelp());
  }
  refuseTwice(program, 'conf');
  program.parse(normalizeArguments(args), { from: 'user' });
  const [command] = program.args;
  if (command !== undefined && command !== 'config')
    program.error(`error: unknown command '${command}'; there is only: config`);
  const values = new Map<string, Written>();
  for (const { name } of settings) {
    const value = program.getOptionValue(camelCase(name)) as boolean | Written | undefined;
    if (value !== undefined) values.set(name, typeof value === 'boolean' ? String(value) : value);
  }
  return {
    action: command === undefined ? 'run' : 'config',
    flags: { source: 'flag', values, placeOf: (name) => `--${name}` },
    conf: program.getOptionValue('conf') as string | undefined,
  };
}

/** The default as the help tells it. */
function shownDefault({ byDefault, byDefaultOnDisk, otherwise = 'none' }: Setting): string {
  return byDefaultOnDisk ? `${byDefault} in memory, ${byDefaultOnDisk} on disk` : byDefault || otherwise;
}

/** Of two values one would be dropped in silence, and nobody knows which was meant: files refuse it likewise. */
function refuseTwice(program: Command, name: string, hasOpposite = false): void {
  let isGiven = false;
  const given = (): void => {
    if (isGiven) program.error(`error: --${name} is given twice`);
    isGiven = true;
  };
  program.on(`option:${name}`, given);
  if (hasOpposite) program.on(`option:no-${name}`, given);
}

function collect(text: string, before: readonly string[] | undefined): string[] {
  return [...(before ?? []), text];
}

function camelCase(name: string): string {
  return name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}
