import { type Command, CommandType, DcacheError, type Reply, ReplyType, type SessionStamp } from '@dcache/protocol';

/** How long the leader remembers a node's session after its last write, in log time. */
const sessionTtlMs = 300_000;

/** Below what the state machine keeps answers for, so that no write is refused for want of room there. */
const maxInFlight = 4_000;

/**
 * The session under which a node sends its clients' writes to the leader. With it a write whose answer was lost with a
 * leader can be sent to the next one and is applied once (thesis §6.3); without it the client would have to be told that
 * the outcome is unknown.
 */
export class NodeSession {
  #opening: Promise<void> | undefined;
  #id = 0;
  #sequence = 0;
  /** Sequences without an answer yet. */
  readonly #unanswered = new Set<number>();
  /** All below it have an answer. */
  #low = 1;

  /** The stamp of a new write; undefined where `begin` has to open a session first. */
  next(): SessionStamp | undefined {
    if (this.#id === 0) return undefined;
    const lowest = this.#lowest();
    const sequence = this.#sequence + 1;
    // One write that hangs keeps the answers of all that came after it alive. When that would be too many, those who
    // come next get another session, and the one that hangs keeps its own.
    if (sequence - lowest >= maxInFlight) return undefined;
    this.#sequence = sequence;
    this.#unanswered.add(sequence);
    return { session: this.#id, sequence, lowestUnanswered: lowest };
  }

  /** The same; `open` sends the command that opens a session. */
  async begin(open: (command: Command) => Promise<Reply>): Promise<SessionStamp> {
    for (;;) {
      const stamp = this.next();
      if (stamp) return stamp;
      if (this.#unanswered.size >= maxInFlight)
        throw new DcacheError('busy', `${maxInFlight} writes of this node wait for the leader; try again in a moment`);
      if (this.#id !== 0) this.#forget();
      await this.#open(open);
    }
  }

  /** The write was answered, or given up: it will not be sent again. */
  end(stamp: SessionStamp): void {
    if (stamp.session === this.#id) this.#unanswered.delete(stamp.sequence);
  }

  /** The leader does not know the session any more; the next write opens another. */
  expired(stamp: SessionStamp): void {
    if (stamp.session === this.#id) this.#forget();
  }

  /** The lowest sequence without an answer, or the next one. */
  #lowest(): number {
    while (this.#low <= this.#sequence && !this.#unanswered.has(this.#low)) this.#low++;
    return this.#low;
  }

  #forget(): void {
    this.#id = 0;
    this.#sequence = 0;
    this.#low = 1;
    this.#unanswered.clear();
  }

  #open(open: (command: Command) => Promise<Reply>): Promise<void> {
    this.#opening ??= (async () => {
      const reply = await open({ type: CommandType.openSession, ttlMs: sessionTtlMs });
      if (reply.type !== ReplyType.ok) throw new Error(`opening a session was answered with reply type ${reply.type}`);
      this.#id = reply.revision;
    })().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }
}
