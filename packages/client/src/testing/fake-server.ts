import { type EventEmitter, once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer, type Server as NetServer, type Socket } from 'node:net';
import {
  adminService,
  cacheService,
  cacheServiceV1,
  type ErrorCode,
  errorMetadata,
  errorTable,
  grpcServers,
  grpcTransferred,
  ReplyType,
  type ServerInfo,
  v1CloseSessionResponse,
  v1GetResponse,
  v1OpenSessionResponse,
  v1SetResponse,
} from '@dcache/protocol';
import { Metadata, Server, ServerCredentials, type ServiceError, type sendUnaryData } from '@grpc/grpc-js';

type SetRequest = ReturnType<typeof cacheServiceV1.set.requestDeserialize>;

/** What a fake server does with a call: answer it, refuse it with a code, break the connection, or say nothing. */
export type Behaviour = 'answer' | 'break' | 'silence' | ErrorCode;

/** A server that does as it is told, and remembers what it was asked. */
export class FakeServer {
  readonly name: string;
  readonly sets: SetRequest[] = [];
  readonly tokens: unknown[] = [];
  gets = 0;
  sessions = 0;
  transfers = 0;
  /** What becomes of the next writes, in their order; then they are answered. */
  readonly onSet: Behaviour[] = [];
  readonly onGet: Behaviour[] = [];
  readonly onOpen: Behaviour[] = [];
  readonly onTransfer: Behaviour[] = [];
  readonly onServers: Behaviour[] = [];
  /** Calls of who the servers are that wait for an answer. */
  pendingServers = 0;
  /** What it tells of the servers. */
  servers: ServerInfo[] = [];
  readonly #grpc = new Server();
  readonly #sockets = new Set<Socket>();
  readonly #net: NetServer;
  readonly #inject: (socket: Socket) => void;

  constructor(name: string, credentials: ServerCredentials = ServerCredentials.createInsecure()) {
    this.name = name;
    const injector = this.#grpc.createConnectionInjector(credentials);
    this.#inject = (socket) => injector.injectConnection(socket);
    this.#net = createServer((socket) => this.take(socket));
    this.#addAdmin();
    const unanswered = (_: unknown, callback: sendUnaryData<never>): void => callback({ code: 12 } as ServiceError);
    this.#grpc.addService(cacheService, {
      set: unanswered,
      get: unanswered,
      delete: unanswered,
      getServers: (call: EventEmitter, callback: sendUnaryData<unknown>) => {
        const behaviour = this.onServers.shift();
        if (behaviour === 'silence') {
          this.pendingServers++;
          call.once('cancelled', () => this.pendingServers--);
        }
        this.#behave(behaviour, callback, grpcServers(this.servers));
      },
    });
    this.#grpc.addService(cacheServiceV1, {
      get: (call: { metadata: Metadata }, callback: sendUnaryData<unknown>) => {
        this.gets++;
        this.tokens.push(call.metadata.get('authorization')[0]);
        this.#behave(this.onGet.shift(), callback, v1GetResponse(undefined, 0));
      },
      getMany: unanswered,
      set: (call: { request: SetRequest }, callback: sendUnaryData<unknown>) => {
        this.sets.push(call.request);
        this.#behave(this.onSet.shift(), callback, v1SetResponse({ type: ReplyType.ok, revision: this.sets.length }));
      },
      setMany: unanswered,
      delete: unanswered,
      openSession: (_: unknown, callback: sendUnaryData<unknown>) => {
        this.sessions++;
        const reply = { type: ReplyType.ok, revision: this.sessions * 1_000 };
        this.#behave(this.onOpen.shift(), callback, v1OpenSessionResponse(reply, 1_000));
      },
      closeSession: (_: unknown, callback: sendUnaryData<unknown>) => callback(null, v1CloseSessionResponse()),
    });
  }

  /** The part of the admin's calls that tests ask for; the others are not known. */
  #addAdmin(): void {
    const { transferLeadership } = adminService;
    this.#grpc.addService(
      { transferLeadership },
      {
        transferLeadership: (_: unknown, callback: sendUnaryData<unknown>) => {
          this.transfers++;
          this.#behave(this.onTransfer.shift(), callback, grpcTransferred(this.name));
        },
      },
    );
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#net.listen(0, '127.0.0.1', resolve));
    return this;
  }

  /** Serves a connection that came in another way. */
  take(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => {});
    this.#inject(socket);
  }

  get address(): string {
    return `127.0.0.1:${(this.#net.address() as AddressInfo).port}`;
  }

  /** The next connection that comes. */
  async nextConnection(): Promise<Socket> {
    const [socket] = (await once(this.#net, 'connection')) as [Socket];
    return socket;
  }

  /** Connections that are open now. */
  get connections(): number {
    return this.#sockets.size;
  }

  info(isLeader = false): ServerInfo {
    return { id: this.name, rpcAddr: this.address, isLeader, voteStatus: 'Voter' };
  }

  async stop(): Promise<void> {
    this.breakAll();
    this.#grpc.forceShutdown();
    await new Promise((resolve) => this.#net.close(resolve));
  }

  breakAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #behave(behaviour: Behaviour = 'answer', callback: sendUnaryData<unknown>, response: object): void {
    if (behaviour === 'answer') callback(null, response);
    else if (behaviour === 'break') this.breakAll();
    else if (behaviour !== 'silence') {
      const metadata = new Metadata();
      metadata.set(errorMetadata, behaviour);
      callback({ code: errorTable[behaviour].grpc, details: behaviour, metadata } as ServiceError);
    }
  }
}
