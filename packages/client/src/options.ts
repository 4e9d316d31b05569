import { ArgumentError, type Known, show } from '@dcache/base';
import type { ReadLevel } from '@dcache/protocol';
import { checkAddress } from './address.js';
import { checkBoolean, checkInteger, checkKnown, checkLevel, maxTimeoutMs } from './argument.js';
import { checkTls, type TlsOptions } from './tls.js';

export interface ClientOptions {
  /** `host:port` of any server of the cluster, or of several: one that answers is enough. */
  readonly address: string | readonly string[];
  /** Milliseconds after which a call is given up, with all its attempts. Default 10,000. */
  readonly timeoutMs?: number;
  /**
   * Milliseconds after which one server is given up and another asked. More than a server's `--request-timeout`, or a
   * write that waits for an election is asked twice. Default 6,000.
   */
  readonly attemptTimeoutMs?: number;
  /** How fresh reads are, where the call does not say. Default the server's setting, which is linearizable by itself. */
  readonly level?: ReadLevel | undefined;
  /** Sent with each call as `authorization: Bearer`. Default none. */
  readonly token?: string | undefined;
  /** `true` for TLS with the system's authorities. Default none: plaintext. */
  readonly tls?: TlsOptions | boolean | undefined;
  /**
   * Learn the cluster's servers and speak to them directly. `false` where only the addresses given can be reached,
   * behind a forwarded port, say. Default true.
   */
  readonly discover?: boolean;
  /** Milliseconds after which what is known of the servers is asked anew, with the next call. Default 15,000. */
  readonly refreshMs?: number;
  /** Writes without an answer at once; one more is `busy`. Default 2,000, at most 4,000. */
  readonly maxPendingWrites?: number;
  /** Milliseconds of log time that the cluster remembers this client's writes after the last. Default 300,000. */
  readonly sessionTtlMs?: number;
}

export interface ResolvedOptions {
  readonly addresses: readonly string[];
  readonly timeoutMs: number;
  readonly attemptTimeoutMs: number;
  readonly level: ReadLevel | undefined;
  readonly token: string | undefined;
  readonly tls: TlsOptions | undefined;
  readonly discover: boolean;
  readonly refreshMs: number;
  readonly maxPendingWrites: number;
  readonly sessionTtlMs: number;
}

const known: Known<ClientOptions> = {
  address: true,
  timeoutMs: true,
  attemptTimeoutMs: true,
  level: true,
  token: true,
  tls: true,
  discover: true,
  refreshMs: true,
  maxPendingWrites: true,
  sessionTtlMs: true,
};

/** A full copy of the options. Throws an `ArgumentError` that names the option, what it got and what it takes. */
export function resolveOptions(options: ClientOptions): ResolvedOptions {
  checkKnown('new Client', options, known);
  const addresses = resolveAddresses(options.address);
  const { level, discover = true } = options;
  checkLevel(level);
  checkBoolean('discover', discover);
  return {
    addresses,
    timeoutMs: milliseconds('timeoutMs', options.timeoutMs ?? 10_000),
    attemptTimeoutMs: milliseconds('attemptTimeoutMs', options.attemptTimeoutMs ?? 6_000),
    level,
    token: resolveToken(options.token),
    tls: resolveTls(options.tls),
    discover,
    refreshMs: milliseconds('refreshMs', options.refreshMs ?? 15_000),
    maxPendingWrites: integer('maxPendingWrites', options.maxPendingWrites ?? 2_000, 1, 4_000),
    sessionTtlMs: integer('sessionTtlMs', options.sessionTtlMs ?? 300_000, 1_000, 86_400_000),
  };
}

function resolveAddresses(address: ClientOptions['address']): string[] {
  const addresses = typeof address === 'string' ? [address] : address;
  if (!Array.isArray(addresses))
    throw new ArgumentError(
      `address is ${show(address)}; it takes host:port of a server, such as localhost:9200, or an array of several`,
    );
  if (addresses.length === 0) throw new ArgumentError('address is empty; it takes host:port of at least one server');
  const copy = Array.from<string>(addresses);
  for (const one of copy) checkAddress(one);
  return copy;
}

/** The message does not show what was given: it may be a secret that is mistyped. */
function resolveToken(token: string | undefined): string | undefined {
  if (token === undefined) return undefined;
  if (typeof token !== 'string') throw new ArgumentError(`token is no text; it takes visible ASCII characters`);
  if (!/^[\x21-\x7e]+$/.test(token))
    throw new ArgumentError('token is empty or has other characters; it takes visible ASCII characters without spaces');
  return token;
}

function resolveTls(tls: ClientOptions['tls']): TlsOptions | undefined {
  if (tls === undefined || tls === false) return undefined;
  if (tls === true) return {};
  if (tls === null || typeof tls !== 'object')
    throw new ArgumentError(`tls is ${show(tls)}; it takes true, false or { ca, cert, key, serverName }`);
  checkTls(tls);
  return tls;
}

function milliseconds(name: string, value: number): number {
  return integer(name, value, 1, maxTimeoutMs);
}

function integer(name: string, value: number, least: number, most: number): number {
  checkInteger(name, value, least, most);
  return value;
}
