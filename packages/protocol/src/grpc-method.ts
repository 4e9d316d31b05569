import { type DescMessage, type DescService, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf';
import { configureTextEncoding, getTextEncoding } from '@bufbuild/protobuf/wire';

/** One method in the shape that `@grpc/grpc-js` takes for servers and clients; no sockets here. */
export interface GrpcMethod<Request, Response> {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly requestSerialize: (message: Request) => Buffer;
  readonly requestDeserialize: (bytes: Buffer) => Request;
  readonly responseSerialize: (message: Response) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Response;
}

/** The methods of a generated service, by their names in camel case. */
export type GrpcMethods<Service extends { readonly method: object }> = {
  readonly [Name in keyof Service['method']]: Service['method'][Name] extends {
    readonly input: infer Input extends DescMessage;
    readonly output: infer Output extends DescMessage;
  }
    ? GrpcMethod<MessageShape<Input>, MessageShape<Output>>
    : never;
};

/** Makes the methods of a generated service. */
export function grpcMethods<Service extends DescService>(service: Service): GrpcMethods<Service> {
  const methods: Record<string, GrpcMethod<never, never>> = {};
  for (const { localName, name, methodKind, input, output } of service.methods)
    methods[localName] = {
      path: `/${service.typeName}/${name}`,
      requestStream: methodKind === 'client_streaming' || methodKind === 'bidi_streaming',
      responseStream: methodKind === 'server_streaming' || methodKind === 'bidi_streaming',
      requestSerialize: (message) => asBuffer(toBinary(input, message)),
      requestDeserialize: (bytes) => fromBinary(input, bytes) as never,
      responseSerialize: (message) => asBuffer(toBinary(output, message)),
      responseDeserialize: (bytes) => fromBinary(output, bytes) as never,
    };
  return methods as unknown as GrpcMethods<Service>;
}

/**
 * Makes the strings of messages keep a byte order mark at their beginning, which protobuf's library drops: without it a key
 * of `pb.Cache` would be another one's. Holds for the whole process, so that it is a server's to ask for.
 */
export function keepByteOrderMarks(): void {
  const lenient = new TextDecoder('utf-8', { ignoreBOM: true });
  const strict = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true });
  configureTextEncoding({
    ...getTextEncoding(),
    decodeUtf8: (bytes, isStrict) => (isStrict ? strict : lenient).decode(bytes),
  });
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
