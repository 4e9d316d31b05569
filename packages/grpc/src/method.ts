/** A method, in the shape of grpc-js's `MethodDefinition`: generated services and its libraries have it. */
export interface Method {
  /** `/package.Service/Method`. */
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  // biome-ignore lint/suspicious/noExplicitAny: each method has message types of its own.
  readonly requestDeserialize: (bytes: Buffer) => any;
  // biome-ignore lint/suspicious/noExplicitAny: each method has message types of its own.
  readonly responseSerialize: (message: any) => Buffer;
}
