import { createSocket } from 'node:dgram';
import type { EventEmitter } from 'node:events';
import { createServer } from 'node:net';

/** Below the range from which systems take ports for outgoing connections, so that none of those gets in between. */
const firstPort = 10_000;
const portCount = 20_000;

/** More tries than a machine that has any free ports can need. */
const maxTries = 1_000;

export interface FreePortOptions {
  /** The address that the port is to be free on. Default 127.0.0.1. */
  readonly host?: string;
  /** How many ports in a row are to be free, the first of them returned. Default 1. */
  readonly count?: number;
}

/** A port that is free now for TCP and UDP. Rejects when the host's address cannot be bound at all. */
export async function freePort(options: FreePortOptions = {}): Promise<number> {
  const { host = '127.0.0.1', count = 1 } = options;
  for (let i = 0; i < maxTries; i++) {
    const first = firstPort + Math.floor(Math.random() * (portCount - count));
    const isFree = await Promise.all(Array.from({ length: count }, (_, at) => isFreeNow(host, first + at)));
    if (!isFree.includes(false)) return first;
  }
  throw new Error(`no ${count} free ports in a row on ${host} from ${firstPort} to ${firstPort + portCount}`);
}

async function isFreeNow(host: string, port: number): Promise<boolean> {
  const server = createServer();
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  const isFree = await Promise.all([
    opens(server, () => server.listen(port, host)),
    opens(socket, () => socket.bind(port, host)),
  ]);
  return !isFree.includes(false);
}

/** Whether it can be opened; it is closed again. */
function opens(listener: EventEmitter & { close(done: () => void): unknown }, open: () => void): Promise<boolean> {
  return new Promise((resolve, reject) => {
    listener.once('error', (error: NodeJS.ErrnoException) =>
      listener.close(() => (error.code === 'EADDRINUSE' ? resolve(false) : reject(error))),
    );
    listener.once('listening', () => listener.close(() => resolve(true)));
    open();
  });
}
