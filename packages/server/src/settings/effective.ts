import { parseBytes, parseDurationOption, type ServerOptions } from './options.js';
import { type Setting, settings } from './settings.js';

/** A value as it was written: a list may have been written several times. */
export type Written = string | readonly string[];

/** Where a value comes from, the strongest first. */
type Source = 'flag' | 'environment' | 'file' | 'default';

export interface Effective {
  readonly setting: Setting;
  /** Undefined where nothing was said and there is no default to write. */
  readonly written: Written | undefined;
  readonly source: Source;
  /** The flag, variable or file that said it. */
  readonly place: string;
}

/** What one source says, by setting name. */
export interface SourceValues {
  readonly source: Source;
  readonly values: ReadonlyMap<string, Written>;
  /** How the place of a value is named to people. */
  readonly placeOf: (name: string) => string;
}

/** Every setting with its value from the first source that has one; sources come with the strongest first. */
export function resolveSettings(sources: readonly SourceValues[]): Effective[] {
  const said = (setting: Setting): Effective | undefined => {
    for (const { source, values, placeOf } of sources) {
      const written = values.get(setting.name);
      if (written !== undefined) return { setting, written, source, place: placeOf(setting.name) };
    }
    return undefined;
  };
  const isOnDisk = off.test(String(said(settings.find(({ name }) => name === 'in-memory')!)?.written ?? ''));
  return settings.map((setting) => {
    const { byDefault, byDefaultOnDisk = byDefault } = setting;
    const written = isOnDisk ? byDefaultOnDisk : byDefault;
    return said(setting) ?? { setting, written, source: 'default', place: 'default' };
  });
}

/**
 * What to say of a folder that was given for a log that is not on disk. A folder in the environment alone may come with an
 * image, and who said where the log is to be knows it.
 */
export function dataDirFault(effective: readonly Effective[]): string | undefined {
  const of = (name: string): Effective => effective.find(({ setting }) => setting.name === name)!;
  const { written, source, place } = of('data-dir');
  if ((source !== 'flag' && source !== 'file') || of('in-memory').source !== 'default') return undefined;
  const where = source === 'file' ? ` (${place})` : '';
  return `--data-dir ${written} has no effect${where}: the log is kept in memory, and nothing outlasts a stop of all nodes; give --in-memory=false to keep it on disk, or --in-memory to say that this is meant`;
}

export type RunOptions = ServerOptions & { readonly logLevel: string };

const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'silent'];

/** The server's options. Throws a `TypeError` that names the place of a value that is wrong, and what it takes. */
export function toOptions(effective: readonly Effective[]): RunOptions {
  const options: Record<string, unknown> = {};
  for (const { setting, written, place, source } of effective) {
    if (written === undefined || (setting.isFounders && source === 'default')) continue;
    try {
      options[optionName(setting)] = parseSetting(setting, written);
    } catch (error) {
      // The message names the flag; say where it was written when that was elsewhere.
      const message = (error as Error).message;
      throw new TypeError(source === 'flag' || source === 'default' ? message : `${message} (${place})`);
    }
  }
  return options as unknown as RunOptions;
}

/** `rpc-port` is `rpcPort`; a duration's option names its unit. */
function optionName(setting: Setting): string {
  const camel = setting.name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
  return setting.kind === 'duration' ? `${camel}Ms` : camel;
}

function parseSetting(setting: Setting, written: Written): unknown {
  const { name, kind } = setting;
  if (kind === 'list') return [written].flat().flatMap((part) => part.split(',').filter((one) => one.trim() !== ''));
  if (typeof written !== 'string') throw new TypeError(`--${name} takes one value, got ${written.length}`);
  switch (kind) {
    case 'boolean':
      return parseBoolean(written, name);
    case 'count':
      if (!/^\d{1,15}$/.test(written))
        throw new TypeError(`--${name} is ${JSON.stringify(written)}; it takes a whole number`);
      return Number(written);
    case 'bytes':
      return parseBytes(written, name);
    case 'duration':
      return parseDurationOption(written, name);
    case 'text':
      if (name === 'log-level' && !logLevels.includes(written))
        throw new TypeError(`--log-level is ${JSON.stringify(written)}; it takes ${logLevels.join(', ')}`);
      return written;
  }
}

/** The spellings of a boolean that Go's flag package takes, and yes and no. */
const on = /^(true|t|1|yes)$/i;
const off = /^(false|f|0|no)$/i;

function parseBoolean(text: string, name: string): boolean {
  if (on.test(text)) return true;
  if (off.test(text)) return false;
  throw new TypeError(`--${name} is ${JSON.stringify(text)}; it takes true or false`);
}
