import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';

/** A port that is free now for TCP and UDP. */
export async function freePort(): Promise<number> {
  for (;;) {
    // Below the range from which systems take ports for outgoing connections: none of those gets in between.
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    const server = createServer();
    const socket = createSocket('udp4');
    const isFree = await Promise.all([
      new Promise<boolean>((resolve) => {
        server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true));
      }),
      new Promise<boolean>((resolve) => {
        socket.once('error', () => resolve(false)).bind(port, '127.0.0.1', () => resolve(true));
      }),
    ]);
    if (isFree[0]) await new Promise((resolve) => server.close(resolve));
    if (isFree[1]) await new Promise<void>((resolve) => socket.close(() => resolve()));
    if (isFree[0] && isFree[1]) return port;
  }
}
