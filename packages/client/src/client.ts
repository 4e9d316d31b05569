import { utf8 } from '@dcache/base';
import { cacheService, grpcEmpty, grpcGetRequest, grpcSetRequest, type ServerInfo } from '@dcache/protocol';
import { ClientError } from './errors.js';
import { type CallOptions, Link } from './link.js';

export interface ClientOptions {
  /** `host:port` of any server of the cluster. */
  readonly address: string;
  /** Milliseconds after which a call is given up. Default 10,000. */
  readonly timeoutMs?: number;
}

/** A client of one server, which reaches the whole cluster through it: any node answers, and forwards what it must. */
export class Client {
  readonly #link: Link;
  readonly #timeoutMs: number;

  /** Throws a `TypeError` for an address that is none. Connects with the first call. */
  constructor(options: ClientOptions) {
    if (!/^(\[[0-9a-fA-F:.]+\]|[^\s:[\]/]+):\d{1,5}$/.test(options.address))
      throw new TypeError(
        `address is ${JSON.stringify(options.address)}; it takes host:port of a server, such as localhost:9200`,
      );
    this.#link = new Link(options.address);
    this.#timeoutMs = options.timeoutMs ?? 10_000;
  }

  /** Writes one key. Rejects with a `ClientError`; `unknown-outcome` means it may have been written. */
  async set(key: string, value: Uint8Array | string, options: CallOptions = {}): Promise<void> {
    const bytes = typeof value === 'string' ? utf8(value) : value;
    await this.#link.call(cacheService.set, grpcSetRequest(key, bytes), { timeoutMs: this.#timeoutMs, ...options });
  }

  /** Reads one key; undefined is a miss. Rejects with a `ClientError`. */
  async get(key: string, options: CallOptions = {}): Promise<Uint8Array | undefined> {
    try {
      const request = grpcGetRequest(key);
      const response = await this.#link.call(cacheService.get, request, { timeoutMs: this.#timeoutMs, ...options });
      return response.value;
    } catch (error) {
      if (error instanceof ClientError && error.code === 'not-found') return undefined;
      throw error;
    }
  }

  /** Every server of the cluster, as the one asked knows them. */
  async servers(options: CallOptions = {}): Promise<ServerInfo[]> {
    const response = await this.#link.call(cacheService.getServers, grpcEmpty(), {
      timeoutMs: this.#timeoutMs,
      ...options,
    });
    return response.server.map((server) => ({
      id: server.id,
      rpcAddr: server.rpcAddr,
      isLeader: server.isLeader,
      voteStatus: server.voteStatus as ServerInfo['voteStatus'],
    }));
  }

  close(): void {
    this.#link.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}
