import type { Clock } from '@dcache/base';
import { asConfChangeV2, type ConfChangeV2, decodeConfChange } from './core/conf-change.js';
import { type ConfState, type Entry, EntryType, type Message, type SnapshotMetadata } from './core/message.js';
import { RaftError, wordsOf } from './errors.js';
import type { StateMachine } from './state-machine.js';
import { emptyConfState } from './storage.js';

export interface ApplierOptions<Reply> {
  readonly stateMachine: StateMachine<Reply>;
  readonly clock: Clock;
  readonly sliceMs: number;
  /** Makes the change in the core. */
  readonly applyConfEntry: (entry: Entry) => ConfState;
  /** An entry was applied. For a membership change the reply is the new `ConfState`, for an empty entry undefined. */
  readonly onApplied: (index: number, term: number, reply: Reply | ConfState | undefined) => void;
  readonly onMembership: (change: ConfChangeV2, confState: ConfState, index: number) => void;
}

/**
 * Feeds committed entries to the state machine in order, a slice at a time: after `sliceMs` it returns, so that
 * heartbeats and answers are not held up by a long queue.
 *
 * The state may be ahead of what the core has handed out, after a snapshot: entries up to it are passed over.
 */
export class Applier<Reply> {
  readonly #options: ApplierOptions<Reply>;
  readonly #queue: Message[] = [];
  /** Position in the entries of the first of `#queue`. */
  #at = 0;
  #index = 0;
  #term = 0;
  #confState: ConfState = emptyConfState;
  #appliedEntries = 0;

  constructor(options: ApplierOptions<Reply>) {
    this.#options = options;
  }

  /** Index of the last entry that the state machine has. */
  get index(): number {
    return this.#index;
  }

  /** What a snapshot taken now would stand for. */
  get state(): SnapshotMetadata {
    return { index: this.#index, term: this.#term, confState: this.#confState };
  }

  /** Entries applied since the start. */
  get appliedEntries(): number {
    return this.#appliedEntries;
  }

  get isIdle(): boolean {
    return this.#queue.length === 0;
  }

  /** The state machine has this state now. */
  restored(metadata: SnapshotMetadata): void {
    this.#index = metadata.index;
    this.#term = metadata.term;
    this.#confState = metadata.confState;
  }

  /** Adds a `storageApply` message. */
  push(message: Message): void {
    this.#queue.push(message);
  }

  /** Applies for `sliceMs`; returns the messages that are done, and how many bytes of data were applied. */
  run(): { readonly done: readonly Message[]; readonly bytes: number } {
    const { clock, sliceMs } = this.#options;
    const startMs = clock.monotonicMs();
    const done: Message[] = [];
    let bytes = 0;
    for (let message = this.#queue[0]; message !== undefined; message = this.#queue[0]) {
      const { entries } = message;
      while (this.#at < entries.length) {
        const entry = entries[this.#at++]!;
        this.#apply(entry);
        bytes += entry.data.length;
        if (this.#at < entries.length && clock.monotonicMs() - startMs >= sliceMs) return { done, bytes };
      }
      this.#queue.shift();
      this.#at = 0;
      done.push(message);
      if (clock.monotonicMs() - startMs >= sliceMs) break;
    }
    return { done, bytes };
  }

  #apply(entry: Entry): void {
    const isNew = entry.index > this.#index;
    let reply: Reply | ConfState | undefined;
    if (entry.type !== EntryType.normal) {
      // The core must make the change also where the state machine knows it from a snapshot.
      const confState = this.#options.applyConfEntry(entry);
      if (!isNew) return;
      this.#confState = confState;
      this.#applyMembership(entry, confState);
      reply = confState;
    } else if (isNew && entry.data.length > 0) {
      reply = this.#applyData(entry);
    }
    if (!isNew) return;
    this.#index = entry.index;
    this.#term = entry.term;
    this.#appliedEntries++;
    this.#options.onApplied(entry.index, entry.term, reply);
  }

  #applyData({ index, term, data }: Entry): Reply {
    try {
      return this.#options.stateMachine.apply({ index, term, data });
    } catch (cause) {
      throw new RaftError('state-machine', `apply of entry ${index} threw: ${wordsOf(cause)}`, { cause });
    }
  }

  #applyMembership(entry: Entry, confState: ConfState): void {
    const change = decodeConfChange(entry.type, entry.data);
    if (change === undefined) throw new RaftError('corrupt', `entry ${entry.index} is no configuration change`);
    const changeV2 = asConfChangeV2(change);
    try {
      this.#options.stateMachine.applyMembership(changeV2, confState, entry.index);
    } catch (cause) {
      throw new RaftError('state-machine', `applyMembership of entry ${entry.index} threw: ${wordsOf(cause)}`, {
        cause,
      });
    }
    this.#options.onMembership(changeV2, confState, entry.index);
  }
}
