import { type ByteReader, BytesError, type ByteWriter } from '@dcache/base';
import { type Reply, ReplyType, readReply, type SessionStamp, writeReply } from '@dcache/protocol';

/** Sessions at once; the one unused for longest makes room. */
export const maxSessions = 10_000;
/** Replies kept for all sessions together; then the sessions unused for longest make room. */
export const maxReplies = 262_144;
/** Replies kept for one session; a client with more writes unanswered is refused. */
export const maxUnanswered = 4_096;

interface Session {
  readonly ttlMs: number;
  lastUsedMs: number;
  lowestUnanswered: number;
  readonly replies: Map<number, Reply>;
}

/**
 * Replicated state: what each client session was answered, so that a retried write is applied once (thesis §6.3).
 * All times are log time, so every node forgets the same sessions at the same entry.
 */
export class SessionTable {
  /** By id, the one unused for longest first. */
  readonly #sessions = new Map<number, Session>();
  /** The last of them, where it is known: one that writes again and again need not be moved each time. */
  #newest: Session | undefined;
  /** Replies of all sessions. */
  #replyCount = 0;

  get size(): number {
    return this.#sessions.size;
  }

  /** `id` is the revision of the entry that opened it, so it is never used again. */
  open(id: number, ttlMs: number, nowMs: number): void {
    this.expire(nowMs);
    if (this.#sessions.size >= maxSessions) this.#dropOldest();
    this.#putLast(id, { ttlMs, lastUsedMs: nowMs, lowestUnanswered: 1, replies: new Map() });
  }

  close(id: number): boolean {
    const session = this.#sessions.get(id);
    if (session) this.#drop(id, session);
    return session !== undefined;
  }

  /** Runs `apply` unless this write was applied before; then its reply of that time is given again. */
  once(stamp: SessionStamp, nowMs: number, apply: () => Reply): Reply {
    const session = this.#sessions.get(stamp.session);
    if (!session || nowMs - session.lastUsedMs > session.ttlMs) {
      if (session) this.#drop(stamp.session, session);
      return { type: ReplyType.sessionExpired, revision: 0 };
    }
    session.lastUsedMs = nowMs;
    if (session !== this.#newest) {
      this.#sessions.delete(stamp.session);
      this.#putLast(stamp.session, session);
    }
    this.#forgetBelow(session, stamp.lowestUnanswered);
    const known = session.replies.get(stamp.sequence);
    if (known) return known;
    if (stamp.sequence < session.lowestUnanswered || session.replies.size >= maxUnanswered)
      return { type: ReplyType.sessionExpired, revision: 0 };
    const reply = apply();
    session.replies.set(stamp.sequence, reply);
    this.#replyCount++;
    // The one just used is the last to go, and alone it stays below the bound.
    while (this.#replyCount > maxReplies) this.#dropOldest();
    return reply;
  }

  /** Forgets the sessions at the old end that were not used for their time. */
  expire(nowMs: number): void {
    for (const [id, session] of this.#sessions) {
      if (nowMs - session.lastUsedMs <= session.ttlMs) return;
      this.#drop(id, session);
    }
  }

  /** count:varint | count x (id, ttlMs, lastUsedMs, lowestUnanswered, count, count x (sequence, reply)), oldest first. */
  write(writer: ByteWriter): void {
    writer.varint(this.#sessions.size);
    for (const [id, session] of this.#sessions) {
      writer.varint(id).varint(session.ttlMs).varint(session.lastUsedMs).varint(session.lowestUnanswered);
      writer.varint(session.replies.size);
      for (const [sequence, reply] of session.replies) {
        writer.varint(sequence);
        writeReply(writer, reply);
      }
    }
  }

  /** A table of what `write` wrote. Throws a `BytesError`. */
  static read(reader: ByteReader): SessionTable {
    const table = new SessionTable();
    const count = reader.varint();
    if (count > maxSessions) throw new BytesError(`${count} sessions; at most ${maxSessions} are kept`);
    for (let i = 0; i < count; i++) {
      const id = reader.varint();
      const ttlMs = reader.varint();
      const lastUsedMs = reader.varint();
      const lowestUnanswered = reader.varint();
      const replies = new Map<number, Reply>();
      const kept = reader.varint();
      if (kept > maxUnanswered) throw new BytesError(`${kept} replies in a session; at most ${maxUnanswered} are kept`);
      for (let j = 0; j < kept; j++) {
        const sequence = reader.varint();
        replies.set(sequence, readReply(reader));
      }
      table.#sessions.set(id, { ttlMs, lastUsedMs, lowestUnanswered, replies });
      table.#replyCount += replies.size;
    }
    return table;
  }

  /** A session that is not in the table. */
  #putLast(id: number, session: Session): void {
    this.#sessions.set(id, session);
    this.#newest = session;
  }

  #dropOldest(): void {
    const [oldest] = this.#sessions;
    if (oldest) this.#drop(...oldest);
  }

  #drop(id: number, session: Session): void {
    this.#sessions.delete(id);
    if (session === this.#newest) this.#newest = undefined;
    this.#replyCount -= session.replies.size;
  }

  /** Costs what it forgets, or one look at all that is kept where the lowest leaps. */
  #forgetBelow(session: Session, lowest: number): void {
    const from = session.lowestUnanswered;
    if (lowest <= from) return;
    session.lowestUnanswered = lowest;
    const { replies } = session;
    this.#replyCount -= replies.size;
    if (lowest - from <= replies.size)
      for (let sequence = from; sequence < lowest; sequence++) replies.delete(sequence);
    else for (const sequence of replies.keys()) if (sequence < lowest) replies.delete(sequence);
    this.#replyCount += replies.size;
  }
}
