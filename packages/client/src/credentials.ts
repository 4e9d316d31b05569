import { isIP, type Socket } from 'node:net';
import { checkServerIdentity, type SecureContext, connect as tlsConnect } from 'node:tls';
import { CallCredentials, ChannelCredentials } from '@grpc/grpc-js';
import { type ConnectFault, silence, silenceAtCertificate, tlsFault } from './connect-fault.js';
import { secureContext, type TlsOptions } from './tls.js';

type Connector = ReturnType<ChannelCredentials['_createSecureConnector']>;

/**
 * How one server's connections are secured, or not. grpc-js has the same, but sends an address as the name of a server,
 * which RFC 6066 §3 forbids, and keeps of a failure only words. The methods with underscores are typed but may change with
 * a minor version, so package.json holds it (`~`).
 */
export class LinkCredentials extends ChannelCredentials {
  readonly #secure: SecureContext | undefined;
  readonly #name: string;
  readonly #hasCertificate: boolean;
  readonly #sockets = new Set<Socket>();
  /** Those whose TLS is not settled. */
  readonly #inHandshake = new Set<Socket>();
  #isClosed = false;
  /**
   * Why the last connection that ended came to nothing, as far as it got beyond TCP. It stands while the next one is
   * tried: a call may be told only then.
   */
  fault: ConnectFault | undefined;

  /** Throws what OpenSSL says of certificates and keys that it does not take. */
  constructor(host: string, tls: TlsOptions | undefined) {
    super();
    this.#name = tls?.serverName ?? host;
    this.#hasCertificate = tls?.cert !== undefined;
    this.#secure = tls && secureContext(tls);
  }

  override _isSecure(): boolean {
    return this.#secure !== undefined;
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(_target: unknown, _options: unknown, credentials?: CallCredentials): Connector {
    const callCredentials = credentials ?? CallCredentials.createEmpty();
    return {
      connect: async (socket) => {
        // A connection may be there only once nobody wants it any more; what throws here closes it.
        if (this.#isClosed) throw new Error('the client was closed');
        return this.#secure ? { socket: await this.#encrypt(socket, this.#secure), secure: true } : this.#watch(socket);
      },
      waitForReady: async () => {},
      getCallCredentials: () => callCredentials,
      destroy: () => {},
    };
  }

  /** Ends connections that never became useful: grpc-js leaves them open when it closes. */
  close(): void {
    this.#isClosed = true;
    for (const socket of this.#sockets) if (socket.bytesRead === 0 || this.#inHandshake.has(socket)) socket.destroy();
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
  }

  #watch(socket: Socket): { socket: Socket; secure: boolean } {
    this.#keep(socket);
    socket.once('close', () => {
      this.fault = socket.bytesRead === 0 ? { ...silence, isGuess: true } : undefined;
    });
    return { socket, secure: false };
  }

  #encrypt(plain: Socket, secureContext: SecureContext): Promise<Socket> {
    const name = this.#name;
    return new Promise((resolve, reject) => {
      const socket = tlsConnect(
        {
          socket: plain,
          secureContext,
          ALPNProtocols: ['h2'],
          ...(isIP(name) === 0 ? { servername: name } : {}),
          checkServerIdentity: (_, certificate) => checkServerIdentity(name, certificate),
        },
        () => {
          this.#inHandshake.delete(socket);
          resolve(socket);
        },
      );
      let own: ConnectFault | undefined;
      this.#keep(socket);
      this.#inHandshake.add(socket);
      // In TLS 1.3 a server refuses a client's certificate only after the client holds the handshake for done.
      socket.on('error', (error) => {
        own = tlsFault(error, name, this.#hasCertificate);
        this.fault = own;
        reject(error);
      });
      socket.once('close', () => {
        this.#inHandshake.delete(socket);
        if (socket.bytesRead === 0) own ??= this.#hasCertificate ? silenceAtCertificate : silence;
        this.fault = own;
        reject(new Error('the connection was closed'));
      });
    });
  }
}
