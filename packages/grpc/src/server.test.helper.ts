import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientHttp2Session, connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { afterEach } from 'node:test';
import { turn } from '@dcache/testing';
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import type { StreamCall, UnaryCall } from './call.js';
import { u32 } from './connection.test.helper.js';
import type { Method } from './method.js';
import { GrpcServer, type GrpcServerOptions } from './server.js';
import type { Answer } from './service.js';

/** What the test that runs leaves behind, the last of it first. */
export const cleanups: (() => void)[] = [];

afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

export const same = (bytes: Buffer): Buffer => bytes;

/** Of server and client both; messages are the bytes themselves. */
interface BytesMethod extends Method {
  readonly requestSerialize: typeof same;
  readonly requestDeserialize: typeof same;
  readonly responseSerialize: typeof same;
  readonly responseDeserialize: typeof same;
}

function method(name: string, requestStream: boolean, responseStream: boolean): BytesMethod {
  return {
    path: `/test.Echo/${name}`,
    requestStream,
    responseStream,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
}

export const echo: BytesMethod = method('Unary', false, false);
export const gather: BytesMethod = method('Gather', true, false);
export const spread: BytesMethod = method('Spread', false, true);
export const both: BytesMethod = method('Both', true, true);

/** Calls that the test answers itself. */
interface Held {
  readonly call: UnaryCall;
  readonly answer: Answer;
}

export interface Running {
  readonly server: GrpcServer;
  readonly port: number;
  readonly held: Held[];
  /** Calls of the methods that stream, as they came. */
  readonly streams: StreamCall[];
  /** The server's ends of the connections that are open. */
  readonly sockets: Set<Socket>;
}

/** A server of the methods above, until the test is over. */
export async function start(options: GrpcServerOptions = {}): Promise<Running> {
  const held: Held[] = [];
  const streams: StreamCall[] = [];
  const server = new GrpcServer(options);
  server.addService(
    {
      echo,
      gather,
      spread,
      both,
      hold: method('Hold', false, false),
      fail: method('Fail', false, false),
      throws: method('Throws', false, false),
    },
    {
      echo: (call: UnaryCall, answer: Answer) => answer(null, call.request),
      gather: (call: StreamCall, answer: Answer) => {
        streams.push(call);
        // By iteration: its end must not take the call with it before the answer is there.
        const gathering = async (): Promise<Buffer> => {
          const parts: Buffer[] = [];
          for await (const part of call) parts.push(part as Buffer);
          await turn(1);
          return Buffer.concat(parts);
        };
        gathering().then((all) => answer(null, all));
      },
      spread: async (call: StreamCall) => {
        streams.push(call);
        const bytes = call.request as Buffer;
        for (let i = 0; i < bytes.readUInt32BE(0) && !call.cancelled; i++)
          if (!call.write(Buffer.alloc(bytes.readUInt32BE(4), i))) await room(call);
        call.end();
      },
      both: (call: StreamCall) => {
        streams.push(call);
        call.on('data', (part: Buffer) => call.write(part));
        call.on('end', () => call.end());
      },
      hold: (call: UnaryCall, answer: Answer) => void held.push({ call, answer }),
      fail: (call: UnaryCall, answer: Answer) => {
        const metadata = new Metadata();
        metadata.set('reason', String(call.metadata.get('why')[0]));
        metadata.set('grpc-status', '0');
        metadata.set('raw-bin', Buffer.from([0, 255]));
        answer({ code: 9, details: 'prévu: 100 %\n', metadata });
      },
      throws: () => {
        throw new Error('by its own fault');
      },
    },
  );
  const sockets = new Set<Socket>();
  const listener = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    server.accept(socket);
  });
  await once(listener.listen(0, '127.0.0.1'), 'listening');
  const { port } = listener.address() as AddressInfo;
  cleanups.push(() => {
    server.close(0);
    listener.close();
    for (const socket of sockets) socket.destroy();
  });
  return { server, port, held, streams, sockets };
}

/**
 * Whether what `from` has to send goes no further: many turns of the event loop, in which both ends of a loopback connection
 * could move bytes, without one that `to` has read.
 */
export async function isStuck(from: Socket, to: Socket): Promise<boolean> {
  for (let still = 0, read = -1; from.writableLength > 0; still = to.bytesRead === read ? still + 1 : 0) {
    if (still > 500) return true;
    read = to.bytesRead;
    await turn(1);
  }
  return false;
}

/** Until a stream call may write again, or has no client any more. */
function room(call: StreamCall): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      call.off('drain', done);
      call.off('cancelled', done);
      resolve();
    };
    call.on('drain', done);
    call.on('cancelled', done);
  });
}

/** grpc-js's client. */
export function client(port: number, options: Record<string, number> = {}): Client {
  const one = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
    'grpc.max_receive_message_length': -1,
    'grpc.use_local_subchannel_pool': 1,
    ...options,
  });
  cleanups.push(() => one.close());
  return one;
}

export function unary(
  one: Client,
  path: string,
  request: Buffer,
  metadata: Metadata = new Metadata(),
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    one.makeUnaryRequest(path, same, same, request, metadata, { deadline: Date.now() + 30_000 }, (error, response) =>
      error ? reject(error) : resolve(response!),
    );
  });
}

/** What a call fails with. */
export async function failure(promise: Promise<unknown>): Promise<ServiceError> {
  return promise.then(
    () => assert.fail('it succeeded'),
    (error: ServiceError) => error,
  );
}

/** A connection of Node's own HTTP/2. */
export function http2(port: number, settings: Record<string, number> = {}): ClientHttp2Session {
  const session = connectHttp2(`http://127.0.0.1:${port}`, { settings });
  session.on('error', () => undefined);
  cleanups.push(() => session.destroy());
  return session;
}

/** A request of HTTP/2's own client: what came back, with the trailers. */
export async function raw(
  session: ClientHttp2Session,
  headers: Record<string, string>,
  body: Buffer,
): Promise<{ response: IncomingHttpHeaders; trailers: IncomingHttpHeaders; body: Buffer }> {
  const request = session.request({
    ':method': 'POST',
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  });
  let response: IncomingHttpHeaders = {};
  let trailers: IncomingHttpHeaders = {};
  request.on('response', (got) => {
    response = got;
  });
  request.on('trailers', (got) => {
    trailers = got;
  });
  request.end(body);
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return { response, trailers, body: Buffer.concat(parts) };
}

/** A message as it stands in a body: whether it is compressed, how long it is, and its bytes. */
export function message(bytes: Buffer, flag = 0): Buffer {
  return Buffer.concat([Buffer.from([flag]), u32(bytes.length), bytes]);
}
