import { readFileSync } from 'node:fs';
import type { Clock, Logger } from '@dcache/base';
import { Keyring } from '@dcache/serf';
import type { ResolvedOptions } from '../settings/options.js';
import { Tls, type TlsFiles } from './tls.js';
import { Tokens } from './tokens.js';

/** How often the files are looked at for changes, in milliseconds. */
const watchMs = 2_000;

/**
 * Who may talk to this node, and how: TLS, tokens and the Serf keys, from files that are read again when they change and
 * on `reload`.
 */
export class Security {
  readonly tls: Tls | undefined;
  readonly tokens: Tokens | undefined;
  /** Shared with Serf, which changes it when keys are rotated. */
  readonly keyring: Keyring | undefined;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #seen = '';
  #stopWatching: (() => void) | undefined;

  /** Throws a `TypeError` that names the flag and the file that cannot be used, or a bind that would be open to all. */
  constructor(options: ResolvedOptions, clock: Clock, logger: Logger) {
    this.#clock = clock;
    this.#logger = logger;
    const files = tlsFiles(options);
    this.tls = files && new Tls(files, options.id, clock.wallMs());
    this.tokens = options.authTokenFile === undefined ? undefined : new Tokens(options.authTokenFile);
    this.keyring = keyring(options);
    const { host } = options.serfAddress;
    if (!isLoopback(host) && !this.tls && !this.tokens && !options.insecure)
      throw new TypeError(
        `--addr binds to ${host}, which others can reach, without TLS or tokens; give --server-tls-cert-file and --server-tls-key-file, or --auth-token-file, or say --insecure`,
      );
    // Tokens are for clients: a peer that needs no proof is made a member and gets everything.
    if ((this.tls || this.tokens) && options.peerTlsCaFile === undefined && !this.keyring)
      logger.warn(
        {},
        'whoever reaches the Serf port can join and read everything: give --encrypt or --peer-tls-ca-file, so that nodes prove themselves',
      );
  }

  /** Looks at the files from now on. */
  start(): void {
    this.#seen = this.#look();
    this.#stopWatching = this.#clock.every(watchMs, () => {
      const seen = this.#look();
      if (seen === this.#seen) return;
      this.#seen = seen;
      this.reload();
    });
  }

  stop(): void {
    this.#stopWatching?.();
  }

  /** Reads certificates and tokens again; what cannot be used is said, and the old goes on. */
  reload(): void {
    try {
      this.tls?.reload(this.#clock.wallMs());
      this.tokens?.reload();
      if (this.tls || this.tokens) this.#logger.info({}, 'certificates and tokens were read again');
    } catch (error) {
      this.#logger.error({ err: error }, 'certificates or tokens could not be read again; the old ones go on');
    }
  }

  /** The files' contents as they are now; a file that is being replaced counts as unchanged until it is there. */
  #look(): string {
    const files = [...(this.tls?.files ?? []), ...(this.tokens ? [this.tokens.file] : [])];
    try {
      return files.map((file) => readFileSync(file, 'utf8')).join('\0');
    } catch {
      return this.#seen;
    }
  }
}

function tlsFiles(options: ResolvedOptions): TlsFiles | undefined {
  const { serverTlsCertFile: serverCert, serverTlsKeyFile: serverKey, serverTlsCaFile: serverCa } = options;
  const { peerTlsCertFile: peerCert, peerTlsKeyFile: peerKey, peerTlsCaFile: peerCa } = options;
  if ((serverCert === undefined) !== (serverKey === undefined))
    throw new TypeError('--server-tls-cert-file and --server-tls-key-file go together');
  if ((peerCert === undefined) !== (peerKey === undefined))
    throw new TypeError('--peer-tls-cert-file and --peer-tls-key-file go together');
  if (serverCert !== undefined && serverKey !== undefined)
    return { serverCert, serverKey, serverCa, peerCert, peerKey, peerCa };
  if (serverCa !== undefined || peerCert !== undefined || peerCa !== undefined)
    throw new TypeError('TLS needs --server-tls-cert-file and --server-tls-key-file: peers and clients share one port');
  return undefined;
}

function keyring(options: ResolvedOptions): Keyring | undefined {
  const { encrypt, keyringFile } = options;
  const inFile = keyringFile === undefined ? undefined : readKeyring(keyringFile);
  if (encrypt === undefined && inFile === undefined) {
    if (keyringFile === undefined) return undefined;
    throw new TypeError(`--keyring-file ${keyringFile} does not exist; give --encrypt KEY once to make it`);
  }
  try {
    return Keyring.fromBase64(inFile ?? [encrypt!]);
  } catch (error) {
    const flag = inFile ? `--keyring-file ${keyringFile}` : '--encrypt';
    throw new TypeError(`${flag} cannot be used: ${(error as Error).message}`);
  }
}

/** The keys of a file, the one to send with first; undefined where there is no file yet. */
function readKeyring(file: string): string[] | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new TypeError(`--keyring-file ${file} cannot be read: ${(error as Error).message}`);
  }
  try {
    const parsed: unknown = JSON.parse(text);
    if (Array.isArray(parsed) && parsed.length > 0 && parsed.every((key) => typeof key === 'string')) return parsed;
  } catch {
    // Said below, as for JSON of another shape.
  }
  throw new TypeError(`--keyring-file ${file} is broken; it takes a JSON array of base64 keys`);
}

/** Whether only this machine reaches `host`. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}
