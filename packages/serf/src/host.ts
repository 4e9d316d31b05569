import type { LookupAddress } from 'node:dns';
import { lookup } from 'node:dns/promises';
import { networkInterfaces } from 'node:os';
import { formatEndpoint, parseAddress } from './core/address.js';
import type { Endpoint } from './core/message.js';
import { SerfError } from './errors.js';

export interface HostPort {
  readonly host: string;
  readonly port: number | undefined;
}

/** Reads `host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address; undefined when it is none of them. */
export function parseHostPort(text: string, defaultPort?: number): HostPort | undefined {
  const parts = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d{1,5}))?$/.exec(text);
  if (parts === null) return parseAddress(text) === undefined ? undefined : { host: text, port: defaultPort };
  const host = parts[1] ?? parts[2] ?? '';
  const port = parts[3] === undefined ? defaultPort : Number(parts[3]);
  if (host === '' || (port !== undefined && port > 65_535)) return undefined;
  if (parts[1] !== undefined && parseAddress(parts[1]) === undefined) return undefined;
  return { host, port };
}

/** Every address a host has; an IP address is itself. Throws a `SerfError` with code `address`. */
export async function resolveEndpoints(text: string, defaultPort: number): Promise<Endpoint[]> {
  const parsed = parseHostPort(text, defaultPort);
  if (parsed === undefined)
    throw new SerfError('address', `${JSON.stringify(text)} is not an address; host:port or host is`);
  const port = parsed.port ?? defaultPort;
  const literal = parseAddress(parsed.host);
  if (literal !== undefined) return [{ addr: literal, port }];
  try {
    const found = await lookUp(parsed.host);
    const endpoints = found.map(({ address }) => ({ addr: parseAddress(address)!, port }));
    // One machine, many addresses: the first IPv4 is what members of a pool announce most often, so it goes first.
    return endpoints.sort((a, b) => a.addr.length - b.addr.length);
  } catch (cause) {
    throw new SerfError('address', `${parsed.host} cannot be resolved: ${(cause as Error).message}`, { cause });
  }
}

/**
 * Who gives up on a lookup cannot end it, and asks again: it then waits for the one under way. Lookups share a few threads
 * with the disk, so a name server that hangs must not fill them.
 */
const lookups = new Map<string, Promise<LookupAddress[]>>();

function lookUp(host: string): Promise<LookupAddress[]> {
  const known = lookups.get(host);
  if (known !== undefined) return known;
  const asked = lookup(host, { all: true }).finally(() => lookups.delete(host));
  lookups.set(host, asked);
  return asked;
}

/** Whether an address stands for all interfaces, and so cannot be announced. */
export function isUnspecified(addr: Uint8Array): boolean {
  return addr.every((byte) => byte === 0);
}

/** An address of this machine that others may reach. */
export function interfaceAddress(): Uint8Array {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const outside = addresses.filter((address) => !address.internal);
  const chosen = outside.find((address) => address.family === 'IPv4') ?? outside[0];
  const addr = chosen === undefined ? undefined : parseAddress(chosen.address.split('%')[0]!);
  if (addr === undefined)
    throw new SerfError('address', 'no interface has an address to announce; set advertise to host:port');
  return addr;
}

export function describe(endpoint: Endpoint): string {
  return formatEndpoint(endpoint.addr, endpoint.port);
}
