import { ArgumentError, show } from '@dcache/base';

/** Throws an `ArgumentError` for what is not `host:port`. */
export function checkAddress(address: unknown): void {
  const parts = typeof address === 'string' && /^(\[[0-9a-fA-F:.]+\]|[^\s:[\]/]+):(\d{1,5})$/.exec(address);
  if (!parts || Number(parts[2]) > 65_535)
    throw new ArgumentError(`address is ${show(address)}; it takes host:port of a server, such as localhost:9200`);
}

/** The parts of `host:port`; an IPv6 host without its brackets. */
export function splitAddress(address: string): { readonly host: string; readonly port: number } {
  const colon = address.lastIndexOf(':');
  return { host: address.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(address.slice(colon + 1)) };
}
