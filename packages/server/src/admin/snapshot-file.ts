import { concatBytes, equalBytes, utf8 } from '@dcache/base';
import { DcacheError } from '@dcache/protocol';
import { Store, StoreError } from '@dcache/store';

/*
 * A saved snapshot:
 *
 *   0  8 bytes   "DCACHE1\n"
 *   8  the store's own snapshot to the end: framed, every frame with a CRC-32, closed by the state's hash
 *
 * It holds entries, their revisions, times of expiry and the log time of the moment, but nothing that belongs to the
 * cluster it was saved from: no members, no sessions.
 */

const magic = utf8('DCACHE1\n');

/** The file's bytes, in chunks of at most about 256 KiB. */
export function* writeSnapshotFile(stored: Iterable<Uint8Array>): Generator<Uint8Array> {
  yield magic;
  yield* stored;
}

/**
 * Takes a file's bytes, cut anywhere, into a store of its own, so that nothing of a broken file is ever used. Throws
 * `DcacheError`: `bad-argument` for bytes that are no snapshot, `too-large` beyond `maxBytes`.
 */
export class SnapshotFileReader {
  readonly #store = new Store();
  readonly #restorer = this.#store.restore();
  readonly #maxBytes: number;
  #head: Uint8Array | undefined = new Uint8Array();
  #bytes = 0;

  /** `maxBytes` bounds the file, and so the memory that it takes here. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  write(chunk: Uint8Array): void {
    this.#bytes += chunk.length;
    if (this.#bytes > this.#maxBytes)
      throw new DcacheError(
        'too-large',
        `the snapshot has more than ${this.#maxBytes} bytes, which is more than this cluster may hold (--max-bytes)`,
      );
    if (this.#head === undefined) {
      this.#feed(chunk);
      return;
    }
    this.#head = concatBytes([this.#head, chunk]);
    if (this.#head.length < magic.length) return;
    const head = this.#head;
    this.#head = undefined;
    if (!equalBytes(head.subarray(0, magic.length), magic))
      throw new DcacheError('bad-argument', 'this is not a dcache snapshot: it does not begin with DCACHE1');
    if (head.length > magic.length) this.#feed(head.subarray(magic.length));
  }

  /** The store that the file describes, once it was proved to be whole. */
  finish(): Store {
    if (this.#head !== undefined)
      throw new DcacheError('bad-argument', `the snapshot ends after ${this.#bytes} bytes, before its head does`);
    asArgument(() => this.#restorer.finish());
    return this.#store;
  }

  #feed(chunk: Uint8Array): void {
    asArgument(() => this.#restorer.write(chunk));
  }
}

function asArgument(run: () => void): void {
  try {
    run();
  } catch (error) {
    if (error instanceof StoreError)
      throw new DcacheError('bad-argument', `the snapshot cannot be read: ${error.message}`, { cause: error });
    throw error;
  }
}
