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

/** What the exit code says already. */
const plain: ReadonlySet<ClientErrorCode> = new Set(['not-found', 'precondition-failed'] as const);

/** One line for a person: what and where, what to do in terms of the command line, and the code to look up. */
export function explain(error: ClientError): string {
  const { code, reason, message } = error;
  if (plain.has(code)) return message;
  const advice = reason === undefined ? byCode[code] : byReason[reason];
  return `${message}${advice === undefined ? '' : `; ${advice}`} [${reason ?? code}]`;
}
