import { gunzip, inflate } from 'node:zlib';
import { type Fault, Status, type StatusError } from './status.js';

/** What a request may be compressed with (gRPC over HTTP/2, "Message-Encoding"); answers are not. */
export const acceptedEncodings = 'identity,deflate,gzip';

/** The bytes of a compressed message; rejects with a `StatusError`. More than `maxBytes` of them are not made. */
export function decompress(bytes: Buffer, encoding: string | undefined, maxBytes: number): Promise<Buffer> {
  const unpack = encoding === 'gzip' ? gunzip : encoding === 'deflate' ? inflate : undefined;
  return new Promise((resolve, reject) => {
    const fail = (code: number, fault: Fault, details: string): void =>
      reject({ code, fault, details } satisfies StatusError);
    if (!unpack)
      return fail(Status.internal, 'bad-request', 'a compressed message without a grpc-encoding that says how');
    unpack(bytes, { maxOutputLength: maxBytes }, (error, unpacked) => {
      if (!error) return resolve(unpacked);
      if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE')
        return fail(Status.resourceExhausted, 'too-large', `a message above ${maxBytes} bytes once unpacked`);
      fail(Status.internal, 'bad-request', `a message is not ${encoding}: ${error.message}`);
    });
  });
}

export function isAcceptedEncoding(encoding: string): boolean {
  return encoding === 'identity' || encoding === 'gzip' || encoding === 'deflate';
}
