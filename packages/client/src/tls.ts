import { createSecureContext, type SecureContext } from 'node:tls';
import { ArgumentError, type Known } from '@dcache/base';
import { checkKnown, checkText, toBytes } from './argument.js';

export interface TlsOptions {
  /** PEM of the authorities whose servers are trusted. Default the system's. */
  readonly ca?: Uint8Array | string | undefined;
  /** PEM of this client's certificate, where the server asks for one; with `key`. */
  readonly cert?: Uint8Array | string | undefined;
  readonly key?: Uint8Array | string | undefined;
  /** The name that the server's certificate must bear. Default the host that is dialled. */
  readonly serverName?: string | undefined;
}

const known: Known<TlsOptions> = { ca: true, cert: true, key: true, serverName: true };

/** Throws what OpenSSL says of certificates and keys that it does not take. */
export function secureContext({ ca, cert, key }: TlsOptions): SecureContext {
  return createSecureContext({
    minVersion: 'TLSv1.2',
    ...(ca === undefined ? {} : { ca: text(ca) }),
    ...(cert === undefined ? {} : { cert: text(cert) }),
    ...(key === undefined ? {} : { key: text(key) }),
  });
}

/** Tries them once, so that what does not fit shows here and not with the first call. Throws an `ArgumentError` that names it. */
export function checkTls(tls: TlsOptions): void {
  checkKnown('tls', tls, known);
  const { ca, cert, key, serverName } = tls;
  for (const [name, pem] of Object.entries({ ca, cert, key })) if (pem !== undefined) toBytes(`tls.${name}`, pem);
  if (serverName !== undefined) checkText('tls.serverName', serverName, "a name of the server's certificate");
  if ((cert === undefined) !== (key === undefined))
    throw new ArgumentError('tls has one of cert and key; it takes both or neither');
  // OpenSSL passes over what it does not know among authorities.
  if (ca !== undefined && !/-----BEGIN (TRUSTED |X509 )?CERTIFICATE-----/.test(text(ca)))
    throw new ArgumentError('tls.ca holds no certificate; it takes PEM, -----BEGIN CERTIFICATE-----');
  if (cert !== undefined && !/-----BEGIN (TRUSTED |X509 )?CERTIFICATE-----/.test(text(cert)))
    throw new ArgumentError('tls.cert holds no certificate; it takes PEM, -----BEGIN CERTIFICATE-----');
  if (key !== undefined && !/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text(key)))
    throw new ArgumentError('tls.key holds no private key; it takes PEM, -----BEGIN PRIVATE KEY-----');
  tryContext('tls.ca', 'certificates in PEM', { ca });
  tryContext('tls.cert', 'a certificate in PEM', { cert });
  tryContext('tls.key', 'a private key in PEM without a passphrase', { key });
  tryContext('tls.key', 'the private key that belongs to the certificate', { cert, key });
}

function tryContext(name: string, takes: string, tls: TlsOptions): void {
  try {
    secureContext(tls);
  } catch (error) {
    throw new ArgumentError(`${name} cannot be used (${(error as Error).message}); it takes ${takes}`, {
      cause: error,
    });
  }
}

function text(pem: Uint8Array | string): string {
  return typeof pem === 'string' ? pem : Buffer.from(pem).toString('utf8');
}
