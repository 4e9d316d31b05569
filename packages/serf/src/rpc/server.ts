import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { SerfError } from '../errors.js';
import { parseHostPort } from '../host.js';
import type { Serf } from '../node.js';
import { QueryRegister } from './query-register.js';
import { RpcSession } from './session.js';

export interface AgentRpcOptions {
  /** Where to listen: `host:port`, port 0 for one that is free. Default `127.0.0.1:7373`. */
  readonly bind?: string;
  /** Clients must present it (`serf -rpc-auth`). Default: anybody who can connect is trusted, so keep to the loopback. */
  readonly authKey?: string;
}

/** A running RPC server. */
export interface AgentRpc {
  /** `host:port` that it listens on. */
  readonly address: string;
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const defaultPort = 7373;
const maxClients = 256;

/**
 * Serves the RPC of the Serf agent, so that the `serf` command line talks to this node: `serf members`, `event`,
 * `query`, `monitor`, `keys`, `leave` and the rest. Throws `SerfError` `address-in-use` or `io`.
 */
export async function startAgentRpc(serf: Serf, options: AgentRpcOptions = {}): Promise<AgentRpc> {
  const text = options.bind ?? `127.0.0.1:${defaultPort}`;
  const bind = parseHostPort(text, defaultPort);
  if (bind === undefined) throw new TypeError(`bind takes host:port, got ${JSON.stringify(text)}`);
  const sockets = new Set<Socket>();
  const queries = new QueryRegister();
  const server = createServer({ noDelay: true }, (socket) => {
    if (sockets.size >= maxClients) {
      socket.destroy();
      return;
    }
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    new RpcSession(socket, { serf, authKey: options.authKey, queries });
  });
  await listen(server, bind.host, bind.port ?? defaultPort);
  const { address, port } = server.address() as AddressInfo;
  const stop = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
      for (const socket of sockets) socket.destroy();
    });
  return {
    address: address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const code = cause.code === 'EADDRINUSE' ? 'address-in-use' : 'io';
      reject(new SerfError(code, `the RPC cannot listen on ${host}:${port}: ${cause.message}`, { cause }));
    });
    server.listen({ host, port, exclusive: true }, () => {
      server.removeAllListeners('error');
      resolve();
    });
  });
}
