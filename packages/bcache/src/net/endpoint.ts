import { isIP, SocketAddress } from 'node:net';

/** A host and, where one was given, a port. */
export interface HostPort {
  /** Without brackets. */
  readonly host: string;
  readonly port: number | undefined;
}

/** Reads `host:port` and `host`; IPv6 stands in brackets. Undefined when it is neither. The host may be empty. */
export function readHostPort(text: string): HostPort | undefined {
  const parts = /^(?:\[([^\]]*)\]|([^\s:[\]/]*))(?::(\d{1,5}))?$/.exec(text);
  if (parts === null) return undefined;
  const port = parts[3] === undefined ? undefined : Number(parts[3]);
  if (port !== undefined && port > 65_535) return undefined;
  if (parts[1] !== undefined && isIP(parts[1]) !== 6) return undefined;
  return { host: parts[1] ?? parts[2] ?? '', port };
}

/** `ip:port`, IPv6 in brackets and in its one short form. */
export function endpointOf(address: string, port: number): string {
  if (isIP(address) !== 6) return `${address}:${port}`;
  const short = new SocketAddress({ address, family: 'ipv6' }).address;
  return `[${short}]:${port}`;
}
