import type { FixedHeader } from './header-encoder.js';

/** The header block that ends a stream. */
export interface Trailers {
  readonly fixed: readonly FixedHeader[];
  readonly others: readonly string[];
}

/** One request and its response (RFC 9113 §5), for a server. `Owner` is what the connection's user keeps with it. */
export class Stream<Owner> {
  readonly id: number;
  owner: Owner | undefined = undefined;
  /** Bytes that may be sent, and that may come; negative where a setting has shrunk the window. */
  sendWindow: number;
  receiveWindow: number;
  /** Bytes that came and were consumed, but have not been given back as window. */
  consumed = 0;
  /** The client has said all. */
  isRemoteEnded = false;
  /** All was said here, sent or waiting. */
  isLocalEnded = false;
  /** What the windows do not let out yet, in order. */
  waiting: Uint8Array[] = [];
  waitingBytes = 0;
  /** Sent once nothing waits any more. */
  trailers: Trailers | undefined = undefined;

  constructor(id: number, sendWindow: number, receiveWindow: number) {
    this.id = id;
    this.sendWindow = sendWindow;
    this.receiveWindow = receiveWindow;
  }
}
