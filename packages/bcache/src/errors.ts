/** What can go wrong, as `CacheError.code`. */
export type CacheErrorCode =
  /** The listen address is taken. */
  | 'address-in-use'
  /** The listen address is none of this machine, or this process may not listen there. */
  | 'cannot-listen'
  /** Another living node has this node's id. */
  | 'duplicate-id'
  /** The value holds something that structured clone does not know: a function, a symbol, a promise. */
  | 'not-cloneable'
  /** The value alone is larger than `maxBytes`, or than a frame may be. */
  | 'too-large'
  /** A peer belongs to another cluster, has no key of ours, or speaks another protocol. */
  | 'handshake-refused'
  /** A peer could not be reached; it is tried again. */
  | 'unreachable'
  /** None of the `peers` answered; they are tried again. */
  | 'join-failed'
  /** A peer sent what no peer sends; it was dropped. */
  | 'nonsense'
  /** A filler did not settle within `hardTimeout`. */
  | 'fill-timeout'
  /** The cache was closed. */
  | 'closed';

/** What goes wrong at run time; what caused it is in `cause`. A mistake of the calling program is an `ArgumentError`. */
export class CacheError extends Error {
  override readonly name = 'CacheError';
  readonly code: CacheErrorCode;

  constructor(code: CacheErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
