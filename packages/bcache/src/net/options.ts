import { createSecureContext } from 'node:tls';
import { ArgumentError, type Known, show } from '@dcache/base';
import { Keyring } from '@dcache/serf';
import { checkInteger, checkKnown, checkWellFormed } from '../argument.js';
import { readHostPort } from './endpoint.js';
import type { TlsMaterial } from './listener.js';

/** The options about other nodes. */
export interface NetworkOptions {
  /**
   * Where to listen, `host:port`, with UDP and TCP; port 0 takes one that is free, host 0.0.0.0 is all addresses of this
   * machine. Default nowhere: no other node.
   */
  readonly listen?: string;
  /** The same, as the reference calls it. */
  readonly listenAddr?: string;
  /** Where others reach this node, `host` or `host:port`. Default: where it listens. */
  readonly advertise?: string;
  /** TCP port of the streams between nodes. Default 0: one that is free; the nodes tell each other. */
  readonly streamPort?: number;
  /**
   * Addresses of one or a few other nodes, `host:port`, or `host` where the port is that of `listen`; gossip finds the
   * rest. Each is tried until it is reached. Needs `listen`. Default none.
   */
  readonly peers?: readonly string[];
  /** Nodes of another name are refused. Default `'bcache'`. */
  readonly cluster?: string;
  /** Keys in base64 (16, 24 or 32 bytes), the one to send with first: gossip and streams are encrypted. Default none. */
  readonly keyring?: Keyring | readonly string[];
  /** TLS for the streams; every node shows a certificate of the same authority. Default none. */
  readonly tls?: TlsMaterial;
}

export const networkNames: Known<NetworkOptions> = {
  listen: true,
  listenAddr: true,
  advertise: true,
  streamPort: true,
  peers: true,
  cluster: true,
  keyring: true,
  tls: true,
};

/** The same, checked. */
export interface ResolvedNetwork {
  /** undefined: this process alone, or a bus. */
  readonly listen: string | undefined;
  readonly advertise: string | undefined;
  readonly streamPort: number;
  readonly peers: readonly string[];
  readonly cluster: string;
  readonly keyring: Keyring | undefined;
  readonly tls: TlsMaterial | undefined;
}

/** What needs gossip, and so an address to listen at. */
const needListen = ['advertise', 'streamPort', 'peers', 'keyring', 'tls'] as const;
const longestCluster = 128;
/** What Serf's label has room for beside `bcache/`. */
const mostClusterBytes = 248;

/** A checked copy; an `ArgumentError` names the option, what it got and what it takes. `hasBus`: nothing listens. */
export function resolveNetwork(options: NetworkOptions, hasBus: boolean): ResolvedNetwork {
  const { listenAddr, listen = listenAddr, advertise, streamPort = 0, peers = [], cluster = 'bcache' } = options;
  const { keyring, tls } = options;
  if (listenAddr !== undefined && listenAddr !== listen)
    throw new ArgumentError(`listen is ${show(listen)}, listenAddr ${show(listenAddr)}: they are one option, give one`);
  if (hasBus && listen !== undefined)
    throw new ArgumentError('listen and bus are both given; with a bus nothing listens, so give one of them');
  const checked = listen === undefined ? undefined : checkListen(listen);
  if (!Array.isArray(peers)) throw new ArgumentError(`peers takes an array of host:port, got ${show(peers)}`);
  const resolved = {
    listen: checked,
    advertise: advertise === undefined ? undefined : checkAddress('advertise', advertise, true),
    streamPort: checkInteger('streamPort', streamPort, 0, 65_535),
    peers: Array.from(peers, (peer: unknown) =>
      checkAddress('peers', peer, checked !== undefined && !/:0$/.test(checked)),
    ),
    cluster: checkCluster(cluster),
    keyring: keyring === undefined ? undefined : checkKeyring(keyring),
    tls: tls === undefined ? undefined : checkTls(tls),
  };
  if (checked !== undefined) return resolved;
  for (const name of needListen) {
    if (options[name] === undefined || (name === 'peers' && peers.length === 0)) continue;
    throw new ArgumentError(
      hasBus
        ? `${name} and bus are both given; with a bus nothing listens, so give one of them`
        : `${name} needs listen: this node's own host:port, such as '192.168.0.1:12345' ('192.168.0.1:0' takes a free port)`,
    );
  }
  return resolved;
}

/**
 * `host:port`. Without a host it would be all addresses of the machine, which other systems take it for and nobody should
 * open by leaving something out: they are asked for as `0.0.0.0`.
 */
function checkListen(listen: unknown): string {
  const parsed = typeof listen === 'string' ? readHostPort(listen) : undefined;
  if (parsed?.port === undefined)
    throw new ArgumentError(`listen takes host:port such as '192.168.0.1:12345' or '[::1]:12345', got ${show(listen)}`);
  if (parsed.host === '')
    throw new ArgumentError(
      `listen takes host:port, got ${show(listen)}: '127.0.0.1:${parsed.port}' is this machine alone, '0.0.0.0:${parsed.port}' all its addresses`,
    );
  return listen as string;
}

/** An address of a node; where the port may be left out it is that of `listen`. */
function checkAddress(option: string, value: unknown, mayLackPort: boolean): string {
  const parsed = typeof value === 'string' ? readHostPort(value) : undefined;
  const { host = '', port } = parsed ?? {};
  if (host === '' || port === 0 || (port === undefined && !mayLackPort))
    throw new ArgumentError(
      `${option} takes host:port such as '192.168.0.2:12345' or '[::1]:12345', got ${show(value)}`,
    );
  return value as string;
}

function checkCluster(cluster: unknown): string {
  const isText = typeof cluster === 'string' && cluster.length >= 1 && cluster.length <= longestCluster;
  if (!isText || Buffer.byteLength(cluster) > mostClusterBytes)
    throw new ArgumentError(
      `cluster takes 1 to ${longestCluster} characters in at most ${mostClusterBytes} bytes, got ${show(cluster)}`,
    );
  checkWellFormed('cluster', cluster);
  return cluster;
}

/** Says nothing of what the keys are. */
function checkKeyring(keyring: unknown): Keyring {
  if (keyring instanceof Keyring) return keyring;
  const takes = 'keyring takes an array of keys of 16, 24 or 32 bytes in base64, or a Keyring';
  if (!Array.isArray(keyring) || keyring.length === 0 || !keyring.every((key) => typeof key === 'string'))
    throw new ArgumentError(`${takes}; got ${Array.isArray(keyring) ? show(keyring) : `a ${typeof keyring}`}`);
  try {
    return Keyring.fromBase64(keyring);
  } catch (cause) {
    throw new ArgumentError(`${takes}: ${(cause as Error).message}`, { cause });
  }
}

const tlsNames: Known<TlsMaterial> = { key: true, cert: true, ca: true };

function checkTls(tls: TlsMaterial): TlsMaterial {
  checkKnown(tls, tlsNames, 'tls');
  for (const name of ['key', 'cert', 'ca'] as const)
    if (!((typeof tls[name] === 'string' || Buffer.isBuffer(tls[name])) && tls[name].length > 0))
      throw new ArgumentError(`tls takes key, cert and ca in PEM; ${name} is ${show(tls[name] && typeof tls[name])}`);
  try {
    createSecureContext(tls);
  } catch (cause) {
    throw new ArgumentError(`tls takes key, cert and ca in PEM: ${(cause as Error).message}`, { cause });
  }
  return tls;
}
