import { parseCommandLine } from './command-line.js';
import { readConfigFile } from './config-file.js';
import { type Effective, resolveSettings, type SourceValues } from './effective.js';
import { readEnvironment } from './environment.js';

export interface Configuration {
  readonly action: 'run' | 'config';
  readonly effective: readonly Effective[];
}

/**
 * All settings from the command line, the environment (`DCACHE_…`, `DCACHE_CONF` for the file) and the file, in this
 * order of strength. Throws a `TypeError` that says what is wrong and where, or a `CommanderError` after printing.
 */
export async function loadConfiguration(
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
  version: string,
): Promise<Configuration> {
  const { action, flags, conf = environment['DCACHE_CONF'] } = parseCommandLine(args, version);
  const sources: SourceValues[] = [flags, readEnvironment(environment)];
  if (conf !== undefined) sources.push(await readConfigFile(conf));
  return { action, effective: resolveSettings(sources) };
}

/**
 * `name = value  # where it comes from`, one a line; secrets are not shown. An empty value says in its comment what holds.
 */
export function formatConfiguration(effective: readonly Effective[]): string {
  const lines = effective.map(({ setting, written, source, place }) => {
    const value = written === undefined ? '' : [written].flat().join(',');
    return {
      left: `${setting.name} = ${setting.isSecret && value !== '' ? '(secret)' : value}`,
      right:
        source !== 'default' ? `${source} ${place}` : value ? 'default' : `default: ${setting.otherwise ?? 'none'}`,
    };
  });
  const width = Math.max(...lines.map(({ left }) => left.length));
  return lines.map(({ left, right }) => `${left.padEnd(width)}  # ${right}\n`).join('');
}
