import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import {
  checkServerIdentity,
  connect,
  createSecureContext,
  createServer,
  type DetailedPeerCertificate,
  type SecureContext,
  type SecureContextOptions,
  type Server,
  TLSSocket,
} from 'node:tls';
import type { Address } from '../settings/address.js';

/** The six files, as the flags name them. */
export interface TlsFiles {
  /** What this port shows, and its key. */
  readonly serverCert: string;
  readonly serverKey: string;
  /** Given, clients must show a certificate of this CA. */
  readonly serverCa?: string | undefined;
  /** What this node shows when it dials another, and its key. */
  readonly peerCert?: string | undefined;
  readonly peerKey?: string | undefined;
  /** The CA of the peers: theirs are trusted when dialled, and demanded when they dial. */
  readonly peerCa?: string | undefined;
}

/** How long a client may take to say hello, in milliseconds. */
const handshakeTimeoutMs = 10_000;

interface Material {
  readonly server: SecureContextOptions;
  readonly dial: SecureContext;
  /** Fingerprints of the peer CA's certificates; empty where peers prove nothing by certificates. */
  readonly peerRoots: ReadonlySet<string>;
}

/**
 * TLS on the one port, for clients and peers, from files that may be replaced while the node runs. Connections that are
 * open keep what they began with.
 */
export class Tls {
  readonly #files: TlsFiles;
  readonly #name: string;
  #material: Material;
  readonly #servers: Server[] = [];

  /**
   * `name` is this node's in the cluster. Throws a `TypeError` that names the flag and the file that is missing, broken or
   * expired, does not fit its key, or does not prove the name where peers look for it.
   */
  constructor(files: TlsFiles, name: string, nowMs: number) {
    this.#files = files;
    this.#name = name;
    this.#material = load(files, name, nowMs);
  }

  /** Reads the files again. Throws as the constructor does, and then goes on with what it had. */
  reload(nowMs: number): void {
    this.#material = load(this.#files, this.#name, nowMs);
    for (const server of this.#servers) server.setSecureContext(this.#material.server);
  }

  /** All files that this is made of. */
  get files(): readonly string[] {
    return Object.values(this.#files).filter((file): file is string => file !== undefined);
  }

  /**
   * The server's side. `accept` takes connections whose first bytes are back in them; each is given to `onSecure` once
   * its handshake is done, paused. What fails in the handshake is closed.
   *
   * Who offers HTTP/1.1 gets it, where `http` is served: tools offer both, but gRPC clients offer HTTP/2 alone.
   */
  serve(
    http: boolean,
    onSecure: (socket: TLSSocket) => void,
    onFailure: (error: Error) => void,
  ): { readonly accept: (socket: Socket) => void } {
    const server = createServer({
      ...this.#material.server,
      handshakeTimeout: handshakeTimeoutMs,
      ALPNCallback: ({ protocols }) => {
        if (http && protocols.includes('http/1.1')) return 'http/1.1';
        return protocols.includes('h2') ? 'h2' : undefined;
      },
      // A peer's certificate is asked for and judged after its hello; a client's is demanded in the handshake.
      requestCert: this.#files.serverCa !== undefined || this.#files.peerCa !== undefined,
      rejectUnauthorized: this.#files.serverCa !== undefined,
    });
    server.on('secureConnection', onSecure);
    server.on('tlsClientError', onFailure);
    this.#servers.push(server);
    return { accept: (socket) => void server.emit('connection', socket) };
  }

  /**
   * Dials a peer. With a peer CA its certificate must be of it and carry the name it has in the cluster, because anybody
   * may answer at an address; without one it must be for the address.
   */
  dial(address: Address, name: string | undefined): TLSSocket {
    const provesName = this.#material.peerRoots.size > 0;
    return connect({
      host: address.host,
      port: address.port,
      secureContext: this.#material.dial,
      checkServerIdentity: (host, certificate) => {
        if (!provesName) return checkServerIdentity(host, certificate);
        if (name !== undefined && namesOf(certificate).has(name)) return undefined;
        return new Error(
          `the certificate at ${host}:${address.port} is not for ${name ?? 'a node whose name is known'}`,
        );
      },
    });
  }

  /** Whether a peer that was dialled has proved its name, not only that it is at its address. */
  get provesNames(): boolean {
    return this.#material.peerRoots.size > 0;
  }

  /** Why the other side is not the peer it says it is, or undefined where it is. */
  peerFault(socket: Socket, name: string): string | undefined {
    const { peerRoots } = this.#material;
    if (peerRoots.size === 0) return undefined;
    if (!(socket instanceof TLSSocket)) return 'it did not come over TLS';
    const certificate = socket.getPeerCertificate(true);
    if (!socket.authorized || !certificate.fingerprint256) return 'it shows no certificate of a known CA';
    if (!chainReaches(certificate, peerRoots)) return 'its certificate is not of the peer CA';
    return namesOf(certificate).has(name) ? undefined : `its certificate is not for ${name}`;
  }
}

function load(files: TlsFiles, name: string, nowMs: number): Material {
  const serverCa = readOptional('server-tls-ca-file', files.serverCa, nowMs);
  const peerCa = readOptional('peer-tls-ca-file', files.peerCa, nowMs);
  const clientCas = [serverCa, peerCa].filter((ca): ca is string => ca !== undefined);
  const dialledCa = peerCa ?? serverCa;
  const server = contextOptions('server', files.serverCert, files.serverKey, clientCas, nowMs);
  const peer = contextOptions('peer', files.peerCert, files.peerKey, dialledCa === undefined ? [] : [dialledCa], nowMs);
  if (peerCa !== undefined) {
    checkOwnName('server-tls-cert-file', files.serverCert, server, name);
    checkOwnName('peer-tls-cert-file', files.peerCert, peer, name);
  }
  return {
    server,
    dial: createSecureContext(peer),
    peerRoots: new Set(certificatesOf(peerCa ?? '').map((certificate) => certificate.fingerprint256)),
  };
}

/** Peers look for this node's name in what it shows on either side; without it, it would wait for them for good. */
function checkOwnName(flag: string, file: string | undefined, { cert }: SecureContextOptions, name: string): void {
  if (file === undefined) throw new TypeError(`--peer-tls-ca-file needs --${flag} and its key: peers ask for it`);
  // The first is the node's own; those that follow lead to the CA.
  const names = namesOf(certificatesOf(String(cert))[0]!.toLegacyObject());
  if (names.has(name)) return;
  const has = names.size === 0 ? 'no name at all' : `the names ${[...names].join(', ')}`;
  throw new TypeError(
    `--${flag} ${file} is not for this node: it has ${has}, but with --peer-tls-ca-file peers look for --id ${name} as its common name or a DNS name`,
  );
}

/** What a context is made of, tried once, so that a key that does not fit shows here. */
function contextOptions(
  side: 'server' | 'peer',
  certFile: string | undefined,
  keyFile: string | undefined,
  ca: readonly string[],
  nowMs: number,
): SecureContextOptions {
  const cert = readOptional(`${side}-tls-cert-file`, certFile, nowMs);
  const key = keyFile === undefined ? undefined : read(`${side}-tls-key-file`, keyFile);
  try {
    const options: SecureContextOptions = {
      minVersion: 'TLSv1.2',
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(ca.length === 0 ? {} : { ca: [...ca] }),
    };
    createSecureContext(options);
    return options;
  } catch (error) {
    throw new TypeError(
      `--${side}-tls-cert-file ${certFile} and --${side}-tls-key-file ${keyFile} cannot be used: ${(error as Error).message}`,
    );
  }
}

/** The text of a file of certificates, all of them valid now. */
function readOptional(flag: string, file: string | undefined, nowMs: number): string | undefined {
  if (file === undefined) return undefined;
  const text = read(flag, file);
  let certificates: X509Certificate[];
  try {
    certificates = certificatesOf(text);
  } catch (error) {
    throw new TypeError(`--${flag} ${file} is broken: ${(error as Error).message}`);
  }
  if (certificates.length === 0) throw new TypeError(`--${flag} ${file} holds no certificate; it takes PEM`);
  for (const certificate of certificates) {
    if (Date.parse(certificate.validTo) < nowMs)
      throw new TypeError(`--${flag} ${file} expired on ${certificate.validTo}; give one that is valid`);
    if (Date.parse(certificate.validFrom) > nowMs)
      throw new TypeError(`--${flag} ${file} is not valid before ${certificate.validFrom}; is the clock right?`);
  }
  return text;
}

function read(flag: string, file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new TypeError(`--${flag} ${file} cannot be read: ${(error as Error).message}`);
  }
}

function certificatesOf(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => new X509Certificate(block));
}

/** Whether the chain that the other side showed and we verified ends in, or passes through, one of `roots`. */
function chainReaches(certificate: DetailedPeerCertificate, roots: ReadonlySet<string>): boolean {
  const seen = new Set<string>();
  for (let at = certificate; at && !seen.has(at.fingerprint256); at = at.issuerCertificate) {
    if (roots.has(at.fingerprint256)) return true;
    seen.add(at.fingerprint256);
  }
  return false;
}

/** The common name and the DNS names of a certificate. */
function namesOf(certificate: Pick<DetailedPeerCertificate, 'subject' | 'subjectaltname'>): Set<string> {
  const names = new Set<string>();
  for (const name of [certificate.subject?.CN].flat()) if (name) names.add(name);
  for (const part of (certificate.subjectaltname ?? '').split(', '))
    if (part.startsWith('DNS:')) names.add(part.slice(4));
  return names;
}
