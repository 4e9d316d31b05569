import { DcacheError } from '@dcache/protocol';

/** Bytes of request bodies that are held at once, of all connections together; what comes beyond that is refused. */
export class BodyBudget {
  readonly #maxBytes: number;
  #heldBytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Throws `overloaded` where there is no room; then nothing was taken. */
  take(bytes: number): void {
    if (this.#heldBytes + bytes > this.#maxBytes)
      throw new DcacheError(
        'overloaded',
        `this node holds ${this.#heldBytes} bytes of requests that are still coming in, at most ${this.#maxBytes} are allowed; nothing was done: try again in a moment, or another node`,
      );
    this.#heldBytes += bytes;
  }

  give(bytes: number): void {
    this.#heldBytes -= bytes;
  }
}
