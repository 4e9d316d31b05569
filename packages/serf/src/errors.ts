/**
 * What went wrong, for programs. `address-in-use`: the UDP or TCP port is taken. `join-failed`: no address answered.
 * `timeout`: the peer did not answer in time. `refused`: the peer closed the stream or answered with an error.
 * `protocol`: bytes that are not the protocol. `too-large`: tags, an event, a query or an answer above its limit.
 * `not-running`: the node is not started, or has stopped. `left`: the node has left and cannot be used again.
 * `keyring`: a key is malformed or not in the ring. `incompatible`: a member speaks another protocol version.
 * `io`: the socket or the snapshot file failed. `address`: an address that cannot be read or resolved.
 * `conflict`: another live member has this name, and most members side with it.
 */
export type SerfErrorCode =
  | 'address-in-use'
  | 'address'
  | 'join-failed'
  | 'timeout'
  | 'refused'
  | 'protocol'
  | 'too-large'
  | 'not-running'
  | 'left'
  | 'keyring'
  | 'incompatible'
  | 'conflict'
  | 'io';

/** A peer's, the network's or the disk's misbehaviour; a wrong option is a `TypeError` instead. */
export class SerfError extends Error {
  override readonly name = 'SerfError';
  readonly code: SerfErrorCode;

  constructor(code: SerfErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
