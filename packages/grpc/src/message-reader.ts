/** A message of the body: five bytes of prefix, then itself (gRPC over HTTP/2, "Length-Prefixed-Message"). */
export interface Message {
  readonly bytes: Buffer;
  readonly isCompressed: boolean;
}

/** Bytes held for messages of which only a part has come, on all connections together, and the most of them. */
export class Budget {
  readonly maxBytes: number;
  usedBytes = 0;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }
}

const prefixBytes = 5;

/** What is held at first for a message in parts; it doubles as they come, because a length is only a promise. */
const firstBytes = 4_096;

const nothing: Buffer = Buffer.alloc(0);

/** What a body breaks: the limit of one message, the budget of all, or the form. */
export type BodyFault = 'too-large' | 'no-room' | 'malformed';

/**
 * Cuts a body into messages. One that comes in one piece is not copied. One that comes in parts is gathered in a buffer
 * that grows with it, at most `maxBytes` and what the budget has left; `release` gives that back.
 */
export class MessageReader {
  readonly #maxBytes: number;
  readonly #budget: Budget;
  #held: Buffer = nothing;
  #heldBytes = 0;

  constructor(maxBytes: number, budget: Budget) {
    this.#maxBytes = maxBytes;
    this.#budget = budget;
  }

  /** Whether a message is under way. */
  get isInside(): boolean {
    return this.#heldBytes > 0;
  }

  /** The messages that are complete with these bytes, or what is wrong; then nothing more may be given. */
  read(bytes: Buffer): readonly Message[] | BodyFault {
    const messages: Message[] = [];
    let at = 0;
    while (at < bytes.length) {
      const needed =
        this.#heldBytes === 0 ? this.#needed(bytes, at, bytes.length) : this.#needed(this.#held, 0, this.#heldBytes);
      if (typeof needed === 'string') return needed;
      if (this.#heldBytes === 0 && needed <= bytes.length - at && needed !== unknown) {
        messages.push(messageOf(bytes.subarray(at, at + needed)));
        at += needed;
        continue;
      }
      const length =
        Math.min(needed === unknown ? prefixBytes : needed, this.#heldBytes + bytes.length - at) - this.#heldBytes;
      if (!this.#hold(bytes.subarray(at, at + length), needed)) return 'no-room';
      at += length;
      if (this.#heldBytes !== needed) continue;
      messages.push(messageOf(this.#held.subarray(0, needed)));
      this.release();
    }
    return messages;
  }

  /** Lets go of what is held. */
  release(): void {
    this.#budget.usedBytes -= this.#held.length;
    this.#held = nothing;
    this.#heldBytes = 0;
  }

  /** Copied, because a few bytes of a socket's buffer would keep all of it. */
  #hold(part: Buffer, needed: number): boolean {
    const length = this.#heldBytes + part.length;
    if (length > this.#held.length) {
      const capacity = Math.max(length, Math.min(needed, Math.max(firstBytes, this.#held.length * 2)));
      this.#budget.usedBytes += capacity - this.#held.length;
      const grown = Buffer.allocUnsafeSlow(capacity);
      this.#held.copy(grown, 0, 0, this.#heldBytes);
      this.#held = grown;
    }
    part.copy(this.#held, this.#heldBytes);
    this.#heldBytes = length;
    return this.#budget.usedBytes <= this.#budget.maxBytes;
  }

  /** Bytes of the message that begins here, with its prefix; `unknown` while that is not complete. */
  #needed(bytes: Buffer, start: number, end: number): number | BodyFault {
    if (bytes[start]! > 1) return 'malformed';
    if (end - start < prefixBytes) return unknown;
    const length = bytes.readUInt32BE(start + 1);
    return length > this.#maxBytes ? 'too-large' : prefixBytes + length;
  }
}

const unknown: number = Number.POSITIVE_INFINITY;

function messageOf(bytes: Buffer): Message {
  return { bytes: bytes.subarray(prefixBytes), isCompressed: bytes[0] === 1 };
}
