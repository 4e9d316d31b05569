import type { IncomingMessage } from 'node:http';
import { DcacheError } from '@dcache/protocol';

/** Bytes of an over-long body that are read and thrown away, so that the client hears the answer before a reset. */
const maxDrainBytes = 16 * 1_048_576;

/**
 * The whole body of a request, or a `DcacheError`: `too-large` as soon as it is known to pass `maxBytes`, by its
 * Content-Length or by what came; `bad-argument` where it ends before its length. Memory stays within `maxBytes`.
 */
export function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    let bytes = 0;
    let isTooLarge = Number(request.headers['content-length'] ?? 0) > maxBytes;
    const refuse = (): void => {
      isTooLarge = true;
      parts.length = 0;
      const claimed = request.headers['content-length'];
      reject(
        new DcacheError(
          'too-large',
          `the value has ${claimed ?? `more than ${maxBytes}`} bytes; at most ${maxBytes} are allowed (--max-value-bytes)`,
        ),
      );
    };
    if (isTooLarge) refuse();
    request.on('data', (part: Buffer) => {
      bytes += part.length;
      if (isTooLarge) {
        if (bytes > maxDrainBytes) request.destroy();
        return;
      }
      if (bytes > maxBytes) refuse();
      else parts.push(part);
    });
    request.on('end', () => resolve(parts.length === 1 ? parts[0]! : Buffer.concat(parts)));
    const broken = (): void =>
      reject(new DcacheError('bad-argument', `the body ended after ${bytes} bytes, before its stated length`));
    request.on('error', broken);
    request.on('aborted', broken);
    request.on('close', () => {
      if (!request.complete) broken();
    });
    // Of a request that names an upgrade node:http reports no broken body, so that it would wait until its time is over.
    if (request.headers.upgrade !== undefined)
      request.socket.once('end', () => {
        if (!request.complete) broken();
      });
  });
}
