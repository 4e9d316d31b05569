import type { PeerCertificate } from 'node:tls';

/**
 * Why there is no answer, where that can be told. It comes beside a `ClientError`'s code:
 * - `refused`: nothing listens at the address
 * - `unknown-host`: its name cannot be resolved
 * - `unreachable`: no way leads there
 * - `no-answer`: something takes connections, or packets get lost, and nothing came in time
 * - `closed`: connections are closed without a word
 * - `wants-tls`: the server speaks TLS, and this client was given none
 * - `no-tls`: this client speaks TLS, and the server does not
 * - `certificate-untrusted`: the server's certificate is of no authority that this client trusts
 * - `certificate-wrong-name`: the server's certificate is for another name
 * - `certificate-expired`: the server's certificate has expired
 * - `certificate-wanted`: the server asks for a certificate of this client, and it has none
 * - `certificate-refused`: the server refused the certificate of this client
 * - `tls-failed`: any other failure of the TLS handshake
 * - `not-grpc`: what answers does not speak gRPC: a Serf port, say
 * - `no-leader`: the cluster has no leader, because a majority of its voters is missing
 */
export type ClientErrorReason =
  | 'refused'
  | 'unknown-host'
  | 'unreachable'
  | 'no-answer'
  | 'closed'
  | 'wants-tls'
  | 'no-tls'
  | 'certificate-untrusted'
  | 'certificate-wrong-name'
  | 'certificate-expired'
  | 'certificate-wanted'
  | 'certificate-refused'
  | 'tls-failed'
  | 'not-grpc'
  | 'no-leader';

/** Why a server could not be spoken to. */
export interface ConnectFault {
  readonly reason: ClientErrorReason;
  /** What the server does, as it stands after its address: `refuses connections`. */
  readonly text: string;
  /** It will not get better by trying again: something has to be configured otherwise. */
  readonly isLasting: boolean;
  /** A look at what answers there can tell more. */
  readonly isGuess?: boolean;
}

/** What `node:net` and `node:dns` say, as grpc-js passes it on in words. Undefined for what the socket did not say. */
export function socketFault(details: string): ConnectFault | undefined {
  if (/Name resolution failed|getaddrinfo/.test(details))
    return passing('unknown-host', 'has a name that no resolver knows');
  const code = /\bconnect (E[A-Z]{3,})\b/.exec(details)?.[1];
  if (code === undefined) return undefined;
  if (code === 'ECONNREFUSED') return passing('refused', `refuses connections, ${code}`);
  return passing('unreachable', `cannot be reached, ${code}`);
}

/** What `node:tls` says. `name` is whom the certificate must be for. */
export function tlsFault(error: NodeJS.ErrnoException, name: string, hasCertificate: boolean): ConnectFault {
  const code = error.code ?? '';
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return lasting('certificate-wrong-name', `shows a certificate that is not for ${name}${namesOf(error)}`);
  if (code === 'CERT_HAS_EXPIRED') return lasting('certificate-expired', 'shows a certificate that has expired');
  if (untrusted.has(code))
    return lasting('certificate-untrusted', `shows a certificate that is not trusted here: ${error.message}`);
  if (/ALERT_CERTIFICATE_REQUIRED/.test(code) && !hasCertificate)
    return lasting('certificate-wanted', 'asks for a certificate of this client, and it has none');
  if (/ALERT_(BAD_CERTIFICATE|UNKNOWN_CA|CERTIFICATE_\w+|UNSUPPORTED_CERTIFICATE|ACCESS_DENIED)/.test(code))
    return lasting('certificate-refused', `refuses the certificate of this client: ${reasonOf(error)}`);
  // What came is no TLS record at all.
  if (/WRONG_VERSION_NUMBER|HTTP_REQUEST|PACKET_LENGTH_TOO_LONG|RECORD_LENGTH_MISMATCH/.test(code))
    return lasting('no-tls', 'does not speak TLS, and this client does');
  if (code === 'ECONNRESET' || code === 'EPIPE') return { ...silence, isGuess: true };
  return passing('tls-failed', `does not finish the TLS handshake: ${reasonOf(error)}`);
}

/** It took the connection and closed it. */
export const silence: ConnectFault = {
  reason: 'closed',
  text: 'closes connections without a word',
  isLasting: false,
};

/** A server that verifies by itself may close without an alert. It may also be full, so this is no certainty. */
export const silenceAtCertificate: ConnectFault = {
  ...silence,
  text: `${silence.text} after the handshake: it may not take this client's certificate`,
};

export const wantsTls: ConnectFault = lasting('wants-tls', 'speaks TLS, and this client does not');
export const speaksNoTls: ConnectFault = lasting('no-tls', 'does not speak TLS, and this client does');
export const notGrpc: ConnectFault = lasting('not-grpc', 'answers, but does not speak gRPC');
export const noAnswer: ConnectFault = passing('no-answer', 'does not answer in time');

/** OpenSSL's words for a chain that ends nowhere, by their codes in Node. (`X509_V_ERR_…`) */
const untrusted: ReadonlySet<string> = new Set([
  ...['SELF_SIGNED_CERT_IN_CHAIN', 'DEPTH_ZERO_SELF_SIGNED_CERT', 'UNABLE_TO_GET_ISSUER_CERT'],
  ...['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'CERT_UNTRUSTED', 'CERT_REJECTED'],
  ...['CERT_NOT_YET_VALID', 'CERT_REVOKED', 'CERT_SIGNATURE_FAILURE', 'INVALID_CA', 'INVALID_PURPOSE'],
  ...['PATH_LENGTH_EXCEEDED', 'CERT_CHAIN_TOO_LONG'],
]);

function lasting(reason: ClientErrorReason, text: string): ConnectFault {
  return { reason, text, isLasting: true };
}

function passing(reason: ClientErrorReason, text: string): ConnectFault {
  return { reason, text, isLasting: false };
}

/** OpenSSL's messages begin with addresses and places in its source. */
function reasonOf(error: Error & { readonly reason?: string }): string {
  return (error.reason ?? error.message).trim();
}

/** For whom the certificate is instead. */
function namesOf(error: Error & { readonly cert?: PeerCertificate }): string {
  const { cert } = error;
  const names = cert?.subjectaltname ?? (cert?.subject?.CN ? [cert.subject.CN].flat().join(', ') : '');
  return names === '' ? '' : `, but for ${names}`;
}
