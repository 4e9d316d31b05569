/** A host and a port, as one writes them: `127.0.0.1:9000`, `[::1]:9000`, `cache-1.local:9000`. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Reads `host:port`; undefined for anything else. Port 0 is allowed: it asks for a free one. */
export function parseAddress(text: string): Address | undefined {
  const parts = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]/]+)):(\d{1,5})$/.exec(text);
  const port = Number(parts?.[3]);
  const host = parts?.[1] ?? parts?.[2];
  return host !== undefined && port <= 65_535 ? { host, port } : undefined;
}

export function formatAddress(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Whether a host to bind to means all addresses: then it is none that others could dial. */
export function isUnspecified(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}
