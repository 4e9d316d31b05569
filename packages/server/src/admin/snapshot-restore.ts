import type { Clock } from '@dcache/base';
import {
  type Command,
  CommandType,
  checkReply,
  DcacheError,
  type EntryWrite,
  hasTypePrefix,
  maxTypePrefixBytes,
  type Reply,
  ReplyType,
  type RestoreResult,
} from '@dcache/protocol';
import type { ScanEntry, Store } from '@dcache/store';

export interface RestoreParts {
  /** Sends one command to whoever leads. */
  readonly write: (command: Command) => Promise<Reply>;
  readonly clock: Clock;
  /** Log time. */
  readonly nowMs: () => number;
  /** Longer values are left out: no server would take them. */
  readonly maxValueBytes: number;
}

/** Bytes of one `load` command: below what cuts a batch, so that clients' writes find room beside it. */
const batchBytes = 512 * 1024;
const batchEntries = 1_024;
/** How long one batch is sent again while there is no leader, in milliseconds. */
const patienceMs = 60_000;
const retryMs = 100;
const sessionTtlMs = 300_000;

/**
 * Puts the entries of a snapshot into the cluster through the log, in bounded batches, so that every node applies the
 * same and clients are served meanwhile. A `load` fills in keys that are missing: what clients write meanwhile wins. All
 * batches travel under one session, so that each is applied once, whoever leads.
 *
 * An entry keeps its time of expiry; what has expired since is left out. Revisions are new ones: a revision is the
 * number of a write, and these are writes.
 */
export class SnapshotRestore {
  readonly #parts: RestoreParts;
  #session = 0;
  #sequence = 0;

  constructor(parts: RestoreParts) {
    this.#parts = parts;
  }

  /** `replace` deletes every entry first. Rejects with a `DcacheError`; what was written until then stays. */
  async run(saved: Store, replace: boolean): Promise<RestoreResult> {
    const { nowMs } = this.#parts;
    this.#session = checkReply(await this.#send({ type: CommandType.openSession, ttlMs: sessionTtlMs }));
    if (replace) await this.#write({ type: CommandType.clear });
    let expired = 0;
    let skipped = 0;
    let restored = 0;
    let batch: EntryWrite[] = [];
    let bytes = 0;
    const flush = async (): Promise<void> => {
      const count = (await this.#write({ type: CommandType.load, entries: batch })).count ?? 0;
      restored += count;
      skipped += batch.length - count;
      batch = [];
      bytes = 0;
    };
    for (const page of pages(saved)) {
      for (const { key, expiresAtMs, flags, valueBytes } of page) {
        const ttlMs = expiresAtMs === 0 ? 0 : expiresAtMs - nowMs();
        if (expiresAtMs !== 0 && ttlMs <= 0) expired++;
        else if (valueBytes > this.#parts.maxValueBytes + (hasTypePrefix(flags) ? maxTypePrefixBytes : 0)) skipped++;
        else {
          if (bytes + valueBytes > batchBytes && batch.length > 0) await flush();
          batch.push({ key, value: saved.get(key)!.value, ttlMs, flags });
          bytes += key.length + valueBytes;
          if (batch.length === batchEntries) await flush();
        }
      }
      // Others get their turn, even while nothing but expired entries goes by.
      await new Promise((resolve) => setImmediate(resolve));
    }
    if (batch.length > 0) await flush();
    await this.#send({ type: CommandType.closeSession, id: this.#session }).catch(() => {
      // It ends by itself after its time.
    });
    return { restored, expired, skipped };
  }

  async #write(command: Command & { type: 8 | 9 }): Promise<Reply> {
    const sequence = ++this.#sequence;
    const stamp = { session: this.#session, sequence, lowestUnanswered: sequence };
    const reply = await this.#send({ ...command, session: stamp });
    if (reply.type !== ReplyType.ok) checkReply(reply);
    return reply;
  }

  /** Opening or closing a session twice does no harm, and all else is stamped: so every command may be sent again. */
  async #send(command: Command): Promise<Reply> {
    const { write, clock } = this.#parts;
    const deadlineMs = clock.monotonicMs() + patienceMs;
    for (;;) {
      try {
        return await write(command);
      } catch (error) {
        const mayHelp =
          error instanceof DcacheError && ['busy', 'no-leader', 'unknown-outcome', 'disk-full'].includes(error.code);
        if (!mayHelp || clock.monotonicMs() >= deadlineMs) throw error;
      }
      await new Promise<void>((resolve) => void clock.after(retryMs, resolve));
    }
  }
}

function* pages(store: Store): Generator<readonly ScanEntry[]> {
  let cursor: string | undefined;
  do {
    const page = store.scan({ limit: 1_000, cursor });
    yield page.entries;
    cursor = page.cursor;
  } while (cursor !== undefined);
}
