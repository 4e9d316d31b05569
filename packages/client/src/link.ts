import type { GrpcMethod } from '@dcache/protocol';
import { credentials, Client as GrpcClient, type ServiceError } from '@grpc/grpc-js';
import { ClientError, fromServiceError } from './errors.js';

export interface CallOptions {
  /** Gives the call up; a write that was sent may still be applied. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds after which the call is given up. Default the client's. */
  readonly timeoutMs?: number | undefined;
}

/** One server's gRPC channel. */
export class Link {
  readonly address: string;
  readonly #grpc: GrpcClient;

  constructor(address: string) {
    this.address = address;
    this.#grpc = new GrpcClient(address, credentials.createInsecure(), {
      'grpc.max_receive_message_length': -1,
      'grpc.max_send_message_length': -1,
    });
  }

  call<Request, Response>(
    method: GrpcMethod<Request, Response>,
    request: Request,
    options: Required<Pick<CallOptions, 'timeoutMs'>> & CallOptions,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      const { signal } = options;
      if (signal?.aborted) {
        reject(new ClientError('unavailable', 'the call was aborted before it was sent', { cause: signal.reason }));
        return;
      }
      const call = this.#grpc.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        { deadline: Date.now() + (options.timeoutMs ?? 0) },
        (error: ServiceError | null, response?: Response) => {
          signal?.removeEventListener('abort', abort);
          if (error) reject(fromServiceError(error, this.address));
          else resolve(response as Response);
        },
      );
      const abort = (): void => call.cancel();
      signal?.addEventListener('abort', abort, { once: true });
    });
  }

  close(): void {
    this.#grpc.close();
  }
}
