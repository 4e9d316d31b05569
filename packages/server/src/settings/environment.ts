import type { SourceValues, Written } from './effective.js';
import { type Setting, settings } from './settings.js';

/** `rpc-port` is `DCACHE_RPC_PORT`. */
function variableName(setting: Pick<Setting, 'name'>): string {
  return `DCACHE_${setting.name.toUpperCase().replaceAll('-', '_')}`;
}

/** Names that the project uses in the environment for other ends than settings. */
const otherNames = new Set(['DCACHE_CONF', 'DCACHE_CI', 'DCACHE_TOKEN']);

function isOfOthers(variable: string): boolean {
  return otherNames.has(variable) || variable.startsWith('DCACHE_CLIENT_');
}

/**
 * What Kubernetes and Docker set in every container beside a service that is called dcache. `DCACHE_PORT=9300` is not of
 * these: that is a mistake for `DCACHE_RPC_PORT`.
 */
function isServiceLink(variable: string, value: string): boolean {
  if (/^DCACHE_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP)_\w+)$/.test(variable)) return true;
  return /^DCACHE_(\w+_)?PORT(_\d+_(TCP|UDP))?$/.test(variable) && /^(tcp|udp):\/\//.test(value);
}

/** What the environment says. Throws a `TypeError` for a variable that looks like a setting and is none. */
export function readEnvironment(environment: NodeJS.ProcessEnv): SourceValues {
  const values = new Map<string, Written>();
  for (const [variable, value] of Object.entries(environment)) {
    if (!variable.startsWith('DCACHE_') || isOfOthers(variable) || value === undefined) continue;
    const setting = settings.find((one) => variableName(one) === variable);
    if (!setting && isServiceLink(variable, value)) continue;
    if (!setting)
      throw new TypeError(
        `the environment has the unknown variable ${variable}; there are ${settings.map(variableName).join(', ')}`,
      );
    values.set(setting.name, value);
  }
  return { source: 'environment', values, placeOf: (name) => variableName({ name }) };
}
