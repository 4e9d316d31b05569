import { assert, fromUtf8, type Random, SeededRandom, utf8 } from '@dcache/base';
import {
  type ConfState,
  type Entry,
  EntryType,
  type HardState,
  isLocalThread,
  localAppendThread,
  type Message,
  type NodeId,
  type ReadState,
  type Snapshot,
} from '../core/message.js';
import type { RawNodeOptions } from '../core/options.js';
import { RawNode } from '../core/raw-node.js';
import type { Ready } from '../core/ready.js';
import type { MemoryLog } from './memory-log.js';

export type MachineOptions = Omit<RawNodeOptions, 'id' | 'storage' | 'random'>;

/** What a machine does to the world around it. */
export interface MachineEvents {
  send(messages: readonly Message[]): void;
  onApplied(id: NodeId, entry: Entry): void;
  onRead(id: NodeId, read: ReadState): void;
  onSnapshot(): void;
}

/**
 * A core with a disk whose writes take their time: a `Ready` that is begun is finished later, and what happens in
 * between is up to the world. What is not on disk when the machine crashes is lost.
 */
export class Machine {
  readonly id: NodeId;
  readonly log: MemoryLog;
  readonly node: RawNode;
  /** Index of the last applied entry. */
  appliedTo: number;
  isUp = true;
  readonly #events: MachineEvents;
  readonly #isAsync: boolean;
  /** What a crash leaves of the hard state: commit indexes need not be on disk. */
  #synced: HardState;
  /** The state machine: the texts of all applied entries. */
  #state: string[];
  /** The members as of `appliedTo`. */
  #members: ConfState;
  #writing: Ready | undefined = undefined;
  /** Work of the storage threads, in order. */
  readonly #threads: Message[] = [];

  /** Starts from what is in the log. */
  constructor(id: NodeId, log: MemoryLog, options: MachineOptions, seed: number, events: MachineEvents) {
    const { metadata, data } = log.base;
    this.id = id;
    this.log = log;
    this.node = new RawNode({ ...options, id, storage: log, random: new SeededRandom(seed) });
    this.appliedTo = metadata.index;
    this.#events = events;
    this.#isAsync = options.asyncStorageWrites ?? false;
    this.#synced = log.hardState;
    this.#state = JSON.parse(fromUtf8(data));
    this.#members = metadata.confState;
    log.snapshotSource = () => this.#snapshot();
  }

  get isBusy(): boolean {
    return this.#writing !== undefined || this.#threads.length > 0 || this.node.hasReady();
  }

  /** Begins a `Ready`, or goes on with one. */
  work(): void {
    const message = this.#threads.shift();
    if (message !== undefined) this.#workThread(message);
    else if (this.#writing !== undefined) this.#finish(this.#writing);
    else if (this.node.hasReady()) this.#begin(this.node.ready());
  }

  #begin(ready: Ready): void {
    for (const read of ready.readStates) this.#events.onRead(this.id, read);
    this.#events.send(ready.messages.filter(({ to }) => !isLocalThread(to)));
    if (this.#isAsync) this.#threads.push(...ready.messages.filter(({ to }) => isLocalThread(to)));
    else this.#writing = ready;
  }

  #finish(ready: Ready): void {
    this.#writing = undefined;
    this.#write(ready.hardState, ready.entries, ready.snapshot, ready.mustSync);
    this.#events.send(ready.messagesAfterAppend);
    this.#apply(ready.committedEntries);
    this.node.advance();
  }

  #workThread({ to, entries, snapshot, responses, term, vote, commit }: Message): void {
    if (to === localAppendThread) this.#write(term > 0 ? { term, vote, commit } : undefined, entries, snapshot, true);
    else this.#apply(entries);
    for (const response of responses)
      if (response.to === this.id) this.node.step(response);
      else this.#events.send([response]);
  }

  #write(
    hardState: HardState | undefined,
    entries: readonly Entry[],
    snapshot: Snapshot | undefined,
    isSynced: boolean,
  ): void {
    const { log } = this;
    if (hardState !== undefined) log.hardState = hardState;
    if (snapshot !== undefined && snapshot.metadata.index > log.base.metadata.index) {
      log.applySnapshot(snapshot);
      this.#state = JSON.parse(fromUtf8(snapshot.data));
      this.appliedTo = snapshot.metadata.index;
      this.#members = snapshot.metadata.confState;
      this.#events.onSnapshot();
    }
    log.append(entries);
    if (isSynced || snapshot !== undefined) this.#synced = log.hardState;
  }

  #apply(entries: readonly Entry[]): void {
    for (const entry of entries) {
      assert(entry.index === this.appliedTo + 1, `node ${this.id} applied ${entry.index} after ${this.appliedTo}`);
      this.appliedTo = entry.index;
      this.#events.onApplied(this.id, entry);
      if (entry.type !== EntryType.normal) this.#members = this.node.applyConfEntry(entry);
      else if (entry.data.length > 0) this.#state.push(fromUtf8(entry.data));
    }
  }

  #snapshot(): Snapshot | undefined {
    const term = this.log.term(this.appliedTo);
    if (term === undefined) return undefined;
    return {
      metadata: { index: this.appliedTo, term, confState: this.#members },
      data: utf8(JSON.stringify(this.#state)),
    };
  }

  /** Replaces what is applied of the log by a snapshot, unless a write is under way. */
  compact(): void {
    if (this.#writing !== undefined || this.#threads.length > 0) return;
    const snapshot = this.#snapshot();
    if (snapshot !== undefined && snapshot.metadata.index >= this.log.firstIndex()) this.log.compactTo(snapshot);
  }

  /** Loses what is not on disk. A write under way is there whole or not at all, and not without those before it. */
  crash(random: Random): void {
    const { log } = this;
    const writing = this.#writing;
    if (writing !== undefined && random.below(2) === 0)
      this.#write(writing.hardState, writing.entries, writing.snapshot, true);
    else if (random.below(2) === 0) this.#synced = log.hardState;
    // A snapshot on disk is of committed entries, whatever the hard state says.
    log.hardState = { ...this.#synced, commit: Math.max(this.#synced.commit, log.base.metadata.index) };
    this.isUp = false;
  }
}
