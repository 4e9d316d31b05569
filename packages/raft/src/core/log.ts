import { AssertionError } from '@dcache/base';
import { countWithin, entriesSize } from './entry-size.js';
import type { LogReader } from './log-reader.js';
import { type Entry, noEntries, type Snapshot } from './message.js';
import type { Trace } from './trace.js';
import { Unstable } from './unstable.js';

/**
 * The whole log: what storage has, then the unstable tail. (Raft §5.3)
 *
 * Invariant: applied <= applying <= committed <= lastIndex. Committed never falls.
 */
export class RaftLog {
  readonly unstable: Unstable;
  /** Highest index known to be on a quorum. */
  committed: number;
  /** Highest index handed out to be applied. */
  applying: number;
  /** Highest index known to be applied. */
  applied: number;
  readonly #storage: LogReader;
  readonly #maxApplyingBytes: number;
  readonly #trace: Trace | undefined;
  /** Bytes handed out and not known to be applied. */
  #applyingBytes = 0;
  /** No more is handed out until some of it was applied. */
  #applyingPaused = false;

  constructor(storage: LogReader, maxApplyingBytes: number, trace: Trace | undefined) {
    this.#storage = storage;
    this.#maxApplyingBytes = maxApplyingBytes;
    this.#trace = trace;
    const snapshotIndex = storage.firstIndex() - 1;
    this.committed = snapshotIndex;
    this.applying = snapshotIndex;
    this.applied = snapshotIndex;
    this.unstable = new Unstable(storage.lastIndex() + 1, trace);
  }

  get firstIndex(): number {
    const snapshot = this.unstable.snapshot;
    return snapshot === undefined ? this.#storage.firstIndex() : snapshot.metadata.index + 1;
  }

  get lastIndex(): number {
    return this.unstable.lastIndex ?? this.#storage.lastIndex();
  }

  get lastTerm(): number {
    const term = this.term(this.lastIndex);
    return term ?? broken(`the log does not know the term of its last index ${this.lastIndex}`);
  }

  /** Term at `index`, from `firstIndex - 1` to `lastIndex`, else undefined. */
  term(index: number): number | undefined {
    const term = this.unstable.term(index);
    if (term !== undefined) return term;
    if (index + 1 < this.firstIndex || index > this.lastIndex) return undefined;
    return this.#storage.term(index);
  }

  hasEntry(index: number, term: number): boolean {
    return this.term(index) === term;
  }

  /** Whether a log that ends at (`index`, `term`) is at least as good as this one. (Raft §5.4.1) */
  isUpToDate(index: number, term: number): boolean {
    const lastTerm = this.lastTerm;
    return term > lastTerm || (term === lastTerm && index >= this.lastIndex);
  }

  /** Adds a leader's own entries. */
  append(entries: readonly Entry[]): void {
    if (entries.length === 0) return;
    const first = entries[0]!.index;
    if (first <= this.committed)
      broken(`entry ${first} would replace a committed one (committed to ${this.committed})`);
    this.unstable.replaceFrom(entries);
  }

  /**
   * Takes entries that follow (`prevIndex`, `prevTerm`), which must be here, and commits what the leader has committed
   * of them. Answers the last index that now is as the leader's, or undefined when the place before is not here.
   * Entries that are here already are left alone: an old message must not cut newer entries. (Raft §5.3, figure 2)
   */
  tryAppend(prevIndex: number, prevTerm: number, entries: readonly Entry[], commit: number): number | undefined {
    if (!this.hasEntry(prevIndex, prevTerm)) return undefined;
    const lastNew = prevIndex + entries.length;
    const fresh = this.#firstConflict(entries);
    if (fresh < entries.length) {
      const index = entries[fresh]!.index;
      if (index <= this.committed)
        broken(`entry ${index} conflicts with a committed one (committed to ${this.committed})`);
      this.unstable.replaceFrom(fresh === 0 ? entries : entries.slice(fresh));
    }
    this.commitTo(Math.min(commit, lastNew));
    return lastNew;
  }

  /**
   * The highest index up to `index` whose term is at most `term`, and that term; 0 where it is not known. It is the
   * best guess where a log that has (`index`, `term`) may meet this one, and skips whole terms. (Raft §5.3, last
   * paragraphs: the rejection hint)
   */
  meetingPoint(index: number, term: number): { readonly index: number; readonly term: number } {
    for (; index > 0; index--) {
      const own = this.term(index);
      if (own === undefined) return { index, term: 0 };
      if (own <= term) return { index, term: own };
    }
    return { index: 0, term: 0 };
  }

  commitTo(index: number): void {
    if (index <= this.committed) return;
    const last = this.lastIndex;
    if (index > last)
      broken(`commit ${index} is past the log's end ${last}: was the log truncated, corrupted or lost?`);
    this.committed = index;
  }

  /** Commits up to `index` if the entry there is of `term`: only a leader's own term commits by counting. (Raft §5.4.2) */
  tryCommit(index: number, term: number): boolean {
    if (term === 0 || index <= this.committed || !this.hasEntry(index, term)) return false;
    this.commitTo(index);
    return true;
  }

  /** Entries from `lo` on, at most `maxBytes`; undefined when they are compacted away. */
  entriesFrom(lo: number, maxBytes: number): readonly Entry[] | undefined {
    const last = this.lastIndex;
    return lo > last ? noEntries : this.slice(lo, last + 1, maxBytes);
  }

  /** Entries with `lo <= index < hi`, at most `maxBytes` but at least one; undefined when `lo` is compacted away. */
  slice(lo: number, hi: number, maxBytes: number): readonly Entry[] | undefined {
    if (lo > hi || hi > this.lastIndex + 1)
      broken(`entries ${lo} to ${hi} are not in a log that ends at ${this.lastIndex}`);
    if (lo < this.firstIndex) return undefined;
    if (lo === hi) return noEntries;
    const offset = this.unstable.offset;
    if (lo >= offset) {
      const count = countWithin(this.unstable.peek(), lo - offset, hi - offset, maxBytes);
      return this.unstable.slice(lo, lo + count);
    }
    const cut = Math.min(hi, offset);
    const stored = this.#storage.entries(lo, cut, maxBytes);
    // A short answer means that the next entry would have been too much.
    if (stored === undefined || hi <= offset || stored.length < cut - lo) return stored;
    const left = maxBytes - entriesSize(stored);
    if (left <= 0) return stored;
    const unstable = this.unstable.peek();
    const count = countWithin(unstable, 0, hi - offset, left);
    if (count === 1 && entriesSize(unstable.slice(0, 1)) > left) return stored;
    return stored.concat(this.unstable.slice(offset, offset + count));
  }

  /** Whether `nextCommitted` has something. */
  hasNextCommitted(allowUnstable: boolean): boolean {
    return (
      !this.#applyingPaused && this.unstable.snapshot === undefined && this.applying < this.#maxAppliable(allowUnstable)
    );
  }

  /**
   * Committed entries that were not handed out yet. None while a snapshot is on its way to disk, because they come
   * after it, nor while `maxApplyingBytes` are out. `allowUnstable`: also such that are not on disk, because the same
   * `Ready` puts them there.
   */
  nextCommitted(allowUnstable: boolean): readonly Entry[] {
    if (!this.hasNextCommitted(allowUnstable)) return noEntries;
    const entries = this.slice(
      this.applying + 1,
      this.#maxAppliable(allowUnstable) + 1,
      this.#maxApplyingBytes - this.#applyingBytes,
    );
    if (entries === undefined) broken(`committed entries from ${this.applying + 1} on are compacted away unapplied`);
    return entries;
  }

  /** Entries up to `index`, of `bytes` bytes, are being applied. */
  acceptApplying(index: number, bytes: number, allowUnstable: boolean): void {
    if (index > this.committed) broken(`entry ${index} is applied but only ${this.committed} is committed`);
    this.applying = index;
    this.#applyingBytes += bytes;
    // Not everything came: it was cut at the limit, so the next entry would pass it.
    this.#applyingPaused = this.#applyingBytes >= this.#maxApplyingBytes || index < this.#maxAppliable(allowUnstable);
  }

  appliedTo(index: number, bytes: number): void {
    if (index < this.applied || index > this.committed)
      broken(`applied ${index} is not between ${this.applied} and the commit index ${this.committed}`);
    this.applied = index;
    this.applying = Math.max(this.applying, index);
    this.#applyingBytes = Math.max(0, this.#applyingBytes - bytes);
    this.#applyingPaused = this.#applyingBytes >= this.#maxApplyingBytes;
  }

  snapshot(): Snapshot | undefined {
    return this.unstable.snapshot ?? this.#storage.snapshot();
  }

  /** The log becomes nothing but a snapshot. */
  restore(snapshot: Snapshot): void {
    const { index, term } = snapshot.metadata;
    this.#trace?.({
      kind: 'log-restoring',
      committed: this.committed,
      applied: this.applied,
      applying: this.applying,
      unstableOffset: this.unstable.offset,
      unstableInProgress: this.unstable.inProgress,
      unstableLength: this.unstable.length,
      index,
      term,
    });
    this.committed = index;
    this.unstable.restore(snapshot);
  }

  /** Position of the first entry that is not here with its term; `entries.length` when all are. */
  #firstConflict(entries: readonly Entry[]): number {
    const last = this.lastIndex;
    for (let i = 0; i < entries.length; i++) {
      const { index, term } = entries[i]!;
      const ownTerm = index > last ? undefined : this.term(index);
      if (ownTerm === term) continue;
      if (index <= last) this.#trace?.({ kind: 'conflict-found', index, ownTerm: ownTerm ?? 0, term });
      return i;
    }
    return entries.length;
  }

  #maxAppliable(allowUnstable: boolean): number {
    return allowUnstable ? this.committed : Math.min(this.committed, this.unstable.offset - 1);
  }
}

/** An invariant does not hold. Unlike `assert` it costs no text where it does: these are on the path of every write. */
function broken(what: string): never {
  throw new AssertionError(what);
}
