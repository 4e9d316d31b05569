import { connect, type Socket } from 'node:net';
import { connect as tlsConnect } from 'node:tls';

export interface Target {
  readonly host: string;
  readonly port: number;
}

/** The preface of HTTP/2 and an empty SETTINGS frame. (RFC 9113 §3.4) */
const hello = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
]);

/** Whether a TLS handshake gets an answer there. Asks nothing and trusts nobody: it is only to explain a failure. */
export function answersTls(target: Target, ms: number, signal: AbortSignal): Promise<boolean> {
  return look(ms, signal, (settle) => {
    const socket = tlsConnect({ ...target, rejectUnauthorized: false }, () => settle(true));
    // An alert is TLS too.
    socket.on('error', (error: NodeJS.ErrnoException) => settle(/^ERR_SSL_\w*ALERT/.test(error.code ?? '')));
    return socket;
  });
}

/** Whether HTTP/2 without TLS is spoken there: the first frame of a server is its SETTINGS. */
export function answersHttp2(target: Target, ms: number, signal: AbortSignal): Promise<boolean> {
  return look(ms, signal, (settle) => {
    const socket = connect(target, () => socket.write(hello));
    let begin = Buffer.alloc(0);
    socket.on('data', (more) => {
      begin = Buffer.concat([begin, more]);
      if (begin.length >= 4) settle(begin[3] === 4 && begin[0] === 0);
    });
    socket.on('error', () => settle(false));
    return socket;
  });
}

function look(ms: number, signal: AbortSignal, start: (settle: (is: boolean) => void) => Socket): Promise<boolean> {
  return new Promise((resolve) => {
    const settle = (is: boolean): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
      socket.destroy();
      resolve(is);
    };
    const stop = (): void => settle(false);
    const timer = setTimeout(stop, ms);
    signal.addEventListener('abort', stop, { once: true });
    const socket = start(settle);
    socket.once('close', stop);
    if (signal.aborted) stop();
  });
}
