import type { ClientErrorReason } from './connect-fault.js';
import type { ClientError, ClientErrorCode } from './errors.js';

const rpcPort = "a server's RPC port (its --rpc-port, 9200 by default)";

const byReason: Readonly<Record<ClientErrorReason, string>> = {
  refused: `does a server run there? --addr takes ${rpcPort}`,
  'unknown-host': '--addr takes host:port',
  unreachable: '--addr takes host:port',
  'no-answer': `--addr takes ${rpcPort}`,
  closed: `--addr takes ${rpcPort}, and the server runs with --grpc`,
  'wants-tls': "give --tls-ca-file FILE, or --tls to trust the system's authorities",
  'no-tls': `--addr takes ${rpcPort}; if it is right, leave the --tls flags out`,
  'certificate-untrusted': "give the certificate of the servers' authority as --tls-ca-file FILE",
  'certificate-wrong-name': 'dial a name that it has, or give one as --tls-server-name NAME',
  'certificate-expired': 'the server needs a new one',
  'certificate-wanted': 'give --tls-cert-file FILE and --tls-key-file FILE',
  'certificate-refused': "--tls-cert-file takes one of an authority in the server's --server-tls-ca-file",
  'tls-failed': 'TLS 1.2 or later is spoken',
  'not-grpc': `--addr takes ${rpcPort}, not the Serf port (9000)`,
  'no-leader': 'dcache-client status tells which of them answer',
};

const byCode: Partial<Readonly<Record<ClientErrorCode, string>>> = {
  unauthenticated: 'give it as --token-file FILE, --token TOKEN or DCACHE_TOKEN',
  forbidden: 'give one that may do this as --token-file FILE, --token TOKEN or DCACHE_TOKEN',
};

/** A call with less time than this, in milliseconds, may end before a server that is well has answered. */
const shortMs = 1_000;

/** One line for a person: what and where, what to do in terms of the command line, and the code to look up. */
export function explain(error: ClientError, timeoutMs: number): string {
  const { code, reason, message } = error;
  const parts = [message];
  const advice = reason === undefined ? byCode[code] : byReason[reason];
  if (timeoutMs < shortMs && isOfTime(error)) {
    parts.push(`--timeout gives it ${timeoutMs} ms; a time without a unit counts milliseconds`);
    // That nothing came in so little time says nothing of the address.
    if (advice !== undefined && reason !== 'no-answer') parts.push(advice);
  } else if (advice !== undefined) parts.push(advice);
  return `${parts.join('; ')} [${reason ?? code}]`;
}

/** Whether more time might have changed it. */
function isOfTime({ code, reason }: ClientError): boolean {
  if (reason !== undefined) return reason === 'no-answer' || reason === 'no-leader';
  return code === 'timeout' || code === 'unavailable' || code === 'unknown-outcome';
}
