import { Command, CommanderError, Option } from 'commander';
import { type SourceValues, settings, type Written } from './settings.js';

/** What the command line asks for. */
export interface CommandLine {
  /** `run` a node, or print its `config`. */
  readonly action: 'run' | 'config';
  readonly flags: SourceValues;
  /** The configuration file, if one is named. */
  readonly conf: string | undefined;
}

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
    .addHelpText(
      'after',
      '\nEach flag can also be set as DCACHE_NAME in the environment, or as name in the file of --conf;\nflags win over the environment, the environment over the file.',
    )
    .allowExcessArguments(false)
    .exitOverride();
  for (const { name, kind, placeholder, description, byDefault } of settings) {
    const shown = byDefault ? `${description} (default ${byDefault})` : description;
    if (kind === 'boolean') {
      program.addOption(new Option(`--${name}`, shown));
      program.addOption(new Option(`--no-${name}`, `the opposite of --${name}; also --${name}=false`).hideHelp());
    } else {
      const option = new Option(`--${name} <${placeholder}>`, shown);
      program.addOption(kind === 'list' ? option.argParser(collect) : option);
    }
  }
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

export { CommanderError };

function collect(text: string, before: readonly string[] | undefined): string[] {
  return [...(before ?? []), text];
}

function camelCase(name: string): string {
  return name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}
