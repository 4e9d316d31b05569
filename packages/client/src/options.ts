import type { ReadLevel } from '@dcache/protocol';
import { checkAddress } from './address.js';
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

/** A full copy of the options. Throws a `TypeError` that names the option, what it got and what it takes. */
export function resolveOptions(options: ClientOptions): ResolvedOptions {
  const addresses = typeof options.address === 'string' ? [options.address] : [...options.address];
  if (addresses.length === 0) throw new TypeError('address is empty; it takes host:port of at least one server');
  for (const address of addresses) checkAddress(address);
  const tls = options.tls === true ? {} : options.tls || undefined;
  if (tls) checkTls(tls);
  if (options.token !== undefined && !/^[\x21-\x7e]+$/.test(options.token))
    throw new TypeError('token is empty or has other characters; it takes visible ASCII characters without spaces');
  return {
    addresses,
    timeoutMs: milliseconds('timeoutMs', options.timeoutMs ?? 10_000),
    attemptTimeoutMs: milliseconds('attemptTimeoutMs', options.attemptTimeoutMs ?? 6_000),
    level: options.level,
    token: options.token,
    tls,
    discover: options.discover ?? true,
    refreshMs: milliseconds('refreshMs', options.refreshMs ?? 15_000),
    maxPendingWrites: integer('maxPendingWrites', options.maxPendingWrites ?? 2_000, 1, 4_000),
    sessionTtlMs: integer('sessionTtlMs', options.sessionTtlMs ?? 300_000, 1_000, 86_400_000),
  };
}

function milliseconds(name: string, value: number): number {
  return integer(name, value, 1, 86_400_000);
}

function integer(name: string, value: number, least: number, most: number): number {
  if (!Number.isSafeInteger(value) || value < least || value > most)
    throw new TypeError(`${name} is ${value}; it takes an integer from ${least} to ${most}`);
  return value;
}
