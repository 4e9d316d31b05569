/**
 * - `address-in-use`: another process listens there
 * - `bind-failed`: the address cannot be listened on for another reason (`cause` tells)
 */
export type MuxErrorCode = 'address-in-use' | 'bind-failed';

export class MuxError extends Error {
  override readonly name = 'MuxError';
  readonly code: MuxErrorCode;

  constructor(code: MuxErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
