import { connect, type Socket } from 'node:net';
import { afterEach } from 'node:test';
import { silentLogger } from '@dcache/base';
import { http1, Mux } from '@dcache/mux';
import { defaultLimits, type Limits } from '@dcache/protocol';
import { until } from '@dcache/testing';
import { FakeCache } from './fake-cache.test.helper.js';
import { HttpApi, type HttpApiOptions } from './http.js';

const cleanups: (() => void)[] = [];

afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

/** An API over a cache that is a map, on a port of its own until the test is over. */
export async function start(
  more: Partial<HttpApiOptions> & { limits?: Limits } = {},
): Promise<{ cache: FakeCache; mux: Mux; port: number }> {
  const cache = new FakeCache();
  const limits = more.limits ?? { ...defaultLimits, maxValueBytes: 1_000 };
  const api = new HttpApi({
    handler: cache,
    limits,
    internal: (path) => (path === '/-/live' ? { status: 200, body: { live: true } } : undefined),
    logger: silentLogger,
    ...more,
  });
  const mux = new Mux({
    routes: [{ name: 'http', matcher: http1, accept: (socket) => api.accept(socket) }],
    maxSniffBytes: limits.maxKeyBytes * 3 + 16_384,
  });
  const { port } = await mux.listen('127.0.0.1', 0);
  cleanups.push(() => {
    mux.close();
    mux.destroyConnections();
    api.close();
  });
  return { cache, mux, port };
}

/** One connection; what comes back is kept as text. */
export class Client {
  readonly socket: Socket;
  text = '';
  isEnded = false;
  isClosed = false;
  error: NodeJS.ErrnoException | undefined;

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    this.socket.setNoDelay(true);
    this.socket.on('data', (chunk) => {
      this.text += chunk.toString('latin1');
    });
    this.socket.on('error', (error: NodeJS.ErrnoException) => {
      this.error = error;
    });
    this.socket.on('end', () => {
      this.isEnded = true;
      this.socket.end();
    });
    this.socket.on('close', () => {
      this.isClosed = true;
    });
    cleanups.push(() => void this.socket.destroy());
  }

  send(bytes: string | Uint8Array): this {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
    return this;
  }

  /** The statuses that have come, in order. */
  get statuses(): number[] {
    return [...this.text.matchAll(/HTTP\/1\.1 (\d\d\d)/g)].map((match) => Number(match[1]));
  }

  async answers(count: number): Promise<void> {
    await until(`${count} answers, have: ${this.text.slice(0, 300)}`, () => this.statuses.length >= count);
  }

  async closed(): Promise<void> {
    await until('the connection ends', () => this.isClosed);
  }
}

export const get = (key: string, headers = ''): string => `GET /${key} HTTP/1.1\r\nHost: h\r\n${headers}\r\n`;
export const post = (key: string, body: string, headers = ''): string =>
  `POST /${key} HTTP/1.1\r\nHost: h\r\nContent-Length: ${body.length}\r\n${headers}\r\n${body}`;
