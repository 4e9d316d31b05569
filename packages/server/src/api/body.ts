import type { IncomingMessage } from 'node:http';
import { DcacheError } from '@dcache/protocol';
import type { BodyBudget } from './body-budget.js';

/** Bytes of a body nobody wants that are read and thrown away, so that the client hears the answer before a reset. */
const maxDrainBytes = 16 * 1_048_576;

/**
 * The whole body of a request, or a `DcacheError`: `too-large` as soon as it is known to pass `maxBytes`, by its
 * Content-Length or by what came; `overloaded` where all bodies together pass the budget; `bad-argument` where it ends
 * before its length. Memory stays within `maxBytes`, and within the budget for all; once the body is whole it counts no
 * more.
 */
export function readBody(request: IncomingMessage, maxBytes: number, budget: BodyBudget): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    let bytes = 0;
    let heldBytes = 0;
    let isRefused = false;
    const drop = (): void => {
      parts.length = 0;
      budget.give(heldBytes);
      heldBytes = 0;
    };
    const refuse = (error: unknown): void => {
      isRefused = true;
      drop();
      reject(error);
    };
    const claimed = request.headers['content-length'];
    const tooLarge = (): DcacheError =>
      new DcacheError(
        'too-large',
        `the value has ${claimed ?? `more than ${maxBytes}`} bytes; at most ${maxBytes} are allowed (--max-value-bytes)`,
      );
    if (Number(claimed ?? 0) > maxBytes) refuse(tooLarge());
    request.on('data', (part: Buffer) => {
      bytes += part.length;
      if (isRefused) {
        if (bytes > maxDrainBytes) request.destroy();
        return;
      }
      if (bytes > maxBytes) return refuse(tooLarge());
      try {
        budget.take(part.length);
      } catch (error) {
        return refuse(error);
      }
      heldBytes += part.length;
      parts.push(part);
    });
    request.on('end', () => {
      const whole = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
      drop();
      resolve(whole);
    });
    const broken = (): void =>
      refuse(new DcacheError('bad-argument', `the body ended after ${bytes} bytes, before its stated length`));
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
