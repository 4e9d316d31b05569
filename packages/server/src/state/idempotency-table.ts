import { type ByteReader, BytesError, type ByteWriter } from '@dcache/base';
import {
  type IdempotencyStamp,
  idempotencyBytes,
  type Reply,
  ReplyType,
  readReply,
  writeReply,
} from '@dcache/protocol';

/** Keys at once, about 200 bytes each while they are kept. */
export const maxIdempotencyKeys = 131_072;
/** How long a key is kept, in milliseconds of log time. */
export const idempotencyWindowMs = 300_000;
/** How long it is kept even where others want its place: above 2,184 keyed writes a second the next is `busy`. */
export const idempotencyLeastMs = 60_000;

interface Kept {
  /** What the key was used for, as a Latin-1 string. */
  readonly fingerprint: string;
  readonly reply: Reply;
  readonly atMs: number;
}

/**
 * Replicated state: what each `Idempotency-Key` was answered, so that a retry through any node is applied once and told
 * the same. All times are log time, so every node forgets the same keys at the same entry. A key is never forgotten
 * before its least time to make room: the write that wants room is refused instead.
 */
export class IdempotencyTable {
  /** By the key's hash as a Latin-1 string, the oldest first: a key keeps the time of its first write. */
  readonly #keys = new Map<string, Kept>();

  get size(): number {
    return this.#keys.size;
  }

  /**
   * Runs `apply` unless its key is known: then the same request is answered as it was, and another one is refused. What
   * was refused for want of room is not kept: it was not applied, and may be tried again.
   */
  once(stamp: IdempotencyStamp, nowMs: number, apply: () => Reply): Reply {
    this.expire(nowMs);
    const key = latin1(stamp.key);
    const fingerprint = latin1(stamp.fingerprint);
    const known = this.#keys.get(key);
    if (known) return known.fingerprint === fingerprint ? known.reply : { type: ReplyType.keyReused, revision: 0 };
    if (this.#keys.size >= maxIdempotencyKeys && !this.#makeRoom(nowMs)) return { type: ReplyType.busy, revision: 0 };
    const reply = apply();
    if (reply.type !== ReplyType.full && reply.type !== ReplyType.tooLarge)
      this.#keys.set(key, { fingerprint, reply, atMs: nowMs });
    return reply;
  }

  /** Forgets the keys whose time is over. */
  expire(nowMs: number): void {
    for (const [key, { atMs }] of this.#keys) {
      if (nowMs - atMs <= idempotencyWindowMs) return;
      this.#keys.delete(key);
    }
  }

  /** count:varint | count x (key:16 | fingerprint:16 | atMs:varint | reply), oldest first. */
  write(writer: ByteWriter): void {
    writer.varint(this.#keys.size);
    for (const [key, { fingerprint, reply, atMs }] of this.#keys) {
      writer.raw(Buffer.from(key, 'latin1')).raw(Buffer.from(fingerprint, 'latin1')).varint(atMs);
      writeReply(writer, reply);
    }
  }

  /** A table of what `write` wrote. Throws a `BytesError`. */
  static read(reader: ByteReader): IdempotencyTable {
    const table = new IdempotencyTable();
    const count = reader.varint();
    if (count > maxIdempotencyKeys)
      throw new BytesError(`${count} idempotency keys; at most ${maxIdempotencyKeys} are kept`);
    for (let i = 0; i < count; i++) {
      const key = latin1(reader.raw(idempotencyBytes));
      const fingerprint = latin1(reader.raw(idempotencyBytes));
      const atMs = reader.varint();
      table.#keys.set(key, { fingerprint, atMs, reply: readReply(reader) });
    }
    return table;
  }

  #makeRoom(nowMs: number): boolean {
    const [oldest] = this.#keys;
    if (!oldest || nowMs - oldest[1].atMs < idempotencyLeastMs) return false;
    return this.#keys.delete(oldest[0]);
  }
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}
