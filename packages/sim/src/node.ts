import { SeededRandom } from '@dcache/base';
import {
  type ConfChange,
  type ConfState,
  type Entry,
  EntryType,
  type HardState,
  localAppendThread,
  localApplyThread,
  type Message,
  MessageType,
  type NodeId,
  type ProposeResult,
  RawNode,
  type Ready,
  Role,
  type Snapshot,
  type Status,
} from '@dcache/raft';
import type { Checkers } from './checkers.js';
import { LogDisk } from './disk.js';
import type { Mutation } from './mutation.js';
import type { Scheduler } from './scheduler.js';
import { type Command, encodeCommand, RegisterMachine } from './state-machine.js';

/** How all nodes of one run are built. */
export interface NodeSettings {
  readonly isAsync: boolean;
  readonly readOnly: 'safe' | 'lease';
  readonly preVote: boolean;
  readonly checkQuorum: boolean;
  readonly electionTicks: number;
  readonly maxSizePerMessage: number;
  readonly maxCommittedSizePerReady: number;
  readonly maxInflightMessages: number;
  /** Whether a restart finds the disk as it was. */
  readonly isDurable: boolean;
  readonly mutation: Mutation | undefined;
}

/** What a node needs of the world around it. */
export interface NodeWorld {
  readonly scheduler: Scheduler;
  readonly checkers: Checkers;
  /** A line for the trace. */
  note(text: string): void;
  send(sender: NodeId, message: Message): void;
  /** A node begins to lead. */
  elected(): void;
  /** A process has ended. */
  crashed(): void;
  /** How long the next write takes to become durable. */
  syncDelayMs(): number;
}

/** A client's answer from a node; `lost` says nothing about whether it happened. */
export type Answer<T> = { readonly status: 'ok'; readonly value: T } | { readonly status: 'refused' | 'lost' };

interface WaitingRead {
  readonly key: string;
  readonly done: (answer: Answer<string>) => void;
}

export const tickMs: number = 10;
/** What arrives at a paused node waits in its sockets, up to a bound. */
const maxBacklog = 5_000;

/**
 * One simulated process: a Raft core, its disk, its state machine, and the driver's duties between them, with everything
 * that takes time taking virtual time, during which the process can die.
 */
export class SimNode {
  readonly id: NodeId;
  readonly disk: LogDisk = new LogDisk();
  machine: RegisterMachine;
  /** How much slower than it should this node's clock ticks; 1 is right. */
  clockRate = 1;
  readonly #settings: NodeSettings;
  readonly #world: NodeWorld;
  #core: RawNode | undefined;
  /** Counts starts, so that what an earlier life began does not reach a later one. */
  #life = 0;
  /** Whether a `Ready` is being worked on (synchronous storage). */
  #isBusy = false;
  #isPumpDue = false;
  #isPaused = false;
  #backlog: (() => void)[] = [];
  #appendQueue: { readonly message: Message; readonly votes: readonly Message[] }[] = [];
  #isAppending = false;
  #applyQueue: Message[] = [];
  #isApplying = false;
  #confState: ConfState;
  #writes = new Map<string, (answer: Answer<boolean>) => void>();
  #reads = new Map<number, WaitingRead>();
  /** Reads that wait for their index to be applied. */
  #due: { readonly index: number; readonly read: WaitingRead }[] = [];

  constructor(id: NodeId, settings: NodeSettings, world: NodeWorld, initial: Snapshot | undefined) {
    this.id = id;
    this.#settings = settings;
    this.#world = world;
    this.machine = this.#newMachine();
    this.disk.freshSnapshot = () => (this.machine.applied > 0 ? this.#takeSnapshot() : undefined);
    if (initial !== undefined) {
      const { term, index } = initial.metadata;
      this.disk.write({ snapshot: initial, hardState: { term, vote: 0, commit: index } });
      this.disk.sync();
    }
    this.#confState = this.disk.initialState().confState;
  }

  get isUp(): boolean {
    return this.#core !== undefined;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  get isLeader(): boolean {
    return this.#core?.role === Role.leader;
  }

  get confState(): ConfState {
    return this.#confState;
  }

  /** Whether its log may hold a change of the members behind `index`. */
  mayHoldChangeAfter(index: number): boolean {
    const last = this.#core?.basicStatus().lastIndex ?? 0;
    return (last > index && last !== this.disk.lastIndex()) || this.disk.hasChangeAfter(index);
  }

  status(): Status | undefined {
    return this.#core?.status();
  }

  start(): void {
    const { scheduler, note } = this.#world;
    const snapshot = this.disk.storedSnapshot();
    this.machine = this.#newMachine();
    if (snapshot !== undefined && snapshot.metadata.index > 0) {
      this.machine.restore(snapshot.data);
      this.machine.applied = snapshot.metadata.index;
      this.machine.appliedTerm = snapshot.metadata.term;
    }
    this.#confState = this.disk.initialState().confState;
    const { isAsync, mutation: _mutation, isDurable: _isDurable, ...options } = this.#settings;
    this.#core = new RawNode({
      ...options,
      id: this.id,
      storage: this.disk,
      random: new SeededRandom(scheduler.below(2 ** 31)),
      applied: this.machine.applied,
      asyncStorageWrites: isAsync,
    });
    this.#life++;
    note(`start ${this.id} applied=${this.machine.applied} last=${this.disk.lastIndex()}`);
    this.#world.checkers.started(this.id, this.#core.basicStatus());
    this.#tickLater(scheduler.between(0, tickMs));
    this.#wake();
  }

  /** The process dies. What it had promised nobody is lost, but for what reached the disk by chance. */
  crash(): void {
    if (this.#core === undefined) return;
    const { scheduler, note, checkers, crashed } = this.#world;
    this.#core = undefined;
    this.#life++;
    this.#isBusy = false;
    this.#isPumpDue = false;
    this.#isPaused = false;
    this.#backlog = [];
    this.#appendQueue = [];
    this.#isAppending = false;
    this.#applyQueue = [];
    this.#isApplying = false;
    if (this.#settings.isDurable) this.disk.crash((count) => scheduler.below(count + 1));
    else this.disk.wipe();
    if (this.#settings.mutation === 'forget-hard-state') this.disk.forgetHardState();
    note(`crash ${this.id} last=${this.disk.lastIndex()}`);
    crashed();
    checkers.stopped(this.id);
    const [writes, reads, due] = [this.#writes, this.#reads, this.#due];
    this.#writes = new Map();
    this.#reads = new Map();
    this.#due = [];
    for (const done of writes.values()) done({ status: 'lost' });
    for (const { done } of reads.values()) done({ status: 'lost' });
    for (const { read } of due) read.done({ status: 'lost' });
  }

  /** The process stands still; it does not know. */
  pause(durationMs: number): void {
    if (this.#core === undefined || this.#isPaused) return;
    this.#isPaused = true;
    this.#world.note(`pause ${this.id} ${durationMs.toFixed(1)}ms`);
    this.#later(durationMs, () => this.resume());
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#world.note(`resume ${this.id}`);
    const backlog = this.#backlog;
    this.#backlog = [];
    for (const run of backlog) if (this.#core !== undefined) run();
  }

  /** A message arrives. */
  receive(message: Message): void {
    if (this.#core === undefined) return;
    this.#whenAwake(() => {
      this.#core?.step(message);
      this.#observe();
      this.#wake();
    });
  }

  /** Something that the core is told from outside, such as a wish to lead. */
  tell(run: (core: RawNode) => void): void {
    if (this.#core === undefined) return;
    this.#whenAwake(() => {
      if (this.#core !== undefined) run(this.#core);
      this.#wake();
    });
  }

  proposeChange(change: ConfChange): ProposeResult | undefined {
    const result = this.#isPaused ? undefined : this.#core?.proposeConfChange(change);
    this.#wake();
    return result;
  }

  /** A client's write; `done` may never be called. */
  write(command: Command, done: (answer: Answer<boolean>) => void): void {
    if (this.#core === undefined) {
      done({ status: 'refused' });
      return;
    }
    this.#whenAwake(() => {
      if (this.#core === undefined) return;
      this.#writes.set(`${command.client}.${command.sequence}`, done);
      const result = this.#core.propose(encodeCommand(command));
      if (result.status === 'dropped') {
        this.#writes.delete(`${command.client}.${command.sequence}`);
        done({ status: 'refused' });
      }
      this.#wake();
    });
  }

  /** A client's read; `context` was never used before; `done` may never be called. */
  read(key: string, context: number, done: (answer: Answer<string>) => void): void {
    if (this.#core === undefined) {
      done({ status: 'refused' });
      return;
    }
    this.#whenAwake(() => {
      if (this.#core === undefined) return;
      if (this.#settings.mutation === 'read-without-quorum' && this.isLeader) {
        done({ status: 'ok', value: this.machine.read(key) });
        return;
      }
      this.#reads.set(context, { key, done });
      if (this.#core.readIndex(context) !== 'requested') {
        this.#reads.delete(context);
        done({ status: 'refused' });
      }
      this.#wake();
    });
  }

  /** Keeps a snapshot of what is applied and gives up entries before it, all but the last `keep`. */
  compact(keep: number): void {
    if (this.#core === undefined || this.#isPaused) return;
    const index = Math.min(this.machine.applied, this.#core.basicStatus().applied);
    if (index !== this.machine.applied || index <= (this.disk.storedSnapshot()?.metadata.index ?? 0)) return;
    this.#world.note(`compact ${this.id} at ${index} keep ${keep}`);
    this.disk.write({ ownSnapshot: this.#takeSnapshot(), compactTo: Math.max(0, index - keep) });
    this.disk.sync();
  }

  #takeSnapshot(): Snapshot {
    const { applied: index, appliedTerm: term } = this.machine;
    return { metadata: { index, term, confState: this.#confState }, data: this.machine.save() };
  }

  #newMachine(): RegisterMachine {
    return new RegisterMachine(this.#settings.mutation !== 'apply-retries-twice');
  }

  /** Runs `run` in `delayMs` unless the process has died meanwhile. */
  #later(delayMs: number, run: () => void): void {
    const life = this.#life;
    this.#world.scheduler.after(delayMs, () => {
      if (life === this.#life) run();
    });
  }

  #whenAwake(run: () => void): void {
    if (!this.#isPaused) run();
    else if (this.#backlog.length < maxBacklog) this.#backlog.push(run);
  }

  #tickLater(delayMs: number): void {
    this.#later(delayMs, () => {
      this.#tickLater(tickMs * this.clockRate);
      // Timers that were missed do not fire again and again afterwards.
      if (this.#isPaused) return;
      this.#core?.tick();
      this.#wake();
    });
  }

  /** Sees to it that the core's wishes are looked at, once for all that happens in this moment. */
  #wake(): void {
    if (this.#core === undefined || this.#isPumpDue) return;
    this.#isPumpDue = true;
    this.#later(0, () => {
      this.#isPumpDue = false;
      this.#whenAwake(() => this.#pump());
    });
  }

  #pump(): void {
    while (this.#core !== undefined && !this.#isBusy && this.#core.hasReady()) {
      this.#observe();
      const ready = this.#core.ready();
      this.#noteReady(ready);
      this.#world.checkers.handedOut(this, ready);
      if (this.#settings.isAsync) this.#handleAsync(ready);
      else this.#handleSync(ready);
    }
    this.#observe();
  }

  #observe(): void {
    if (this.#core !== undefined) this.#world.checkers.observed(this, this.#core.basicStatus());
  }

  #noteReady(ready: Ready): void {
    const { softState, hardState, entries, snapshot, committedEntries } = ready;
    const parts: string[] = [];
    if (softState?.role === Role.leader) this.#world.elected();
    if (softState !== undefined) parts.push(`leader=${softState.leader} role=${softState.role}`);
    if (hardState !== undefined) parts.push(`term=${hardState.term} vote=${hardState.vote} commit=${hardState.commit}`);
    if (entries.length > 0) parts.push(`entries=${entries[0]!.index}-${entries.at(-1)!.index}`);
    if (snapshot !== undefined) parts.push(`snapshot=${snapshot.metadata.index}`);
    if (committedEntries.length > 0)
      parts.push(`apply=${committedEntries[0]!.index}-${committedEntries.at(-1)!.index}`);
    if (parts.length > 0) this.#world.note(`ready ${this.id} ${parts.join(' ')}`);
  }

  #sendAll(messages: readonly Message[]): void {
    for (const message of messages) {
      this.#world.checkers.sent(this, message);
      this.#world.send(this.id, message);
    }
  }

  #isLeading(): boolean {
    return this.#core?.role === Role.leader;
  }

  // Synchronous storage: one Ready at a time, and advance() at its end.

  #handleSync(ready: Ready): void {
    this.#isBusy = true;
    this.#sendAll(ready.messages);
    const { hardState, entries, snapshot } = ready;
    if (hardState !== undefined || entries.length > 0 || snapshot !== undefined)
      this.#write({ hardState, entries, snapshot });
    if (this.#settings.mutation === 'answer-before-sync') this.#sendAll(ready.messagesAfterAppend);
    if (ready.mustSync || snapshot !== undefined) this.#sync(() => this.#finish(ready));
    else this.#finish(ready);
  }

  #finish(ready: Ready): void {
    if (this.#settings.mutation !== 'answer-before-sync') this.#sendAll(ready.messagesAfterAppend);
    if (ready.snapshot !== undefined) this.#restore(ready.snapshot);
    this.#apply(ready.committedEntries);
    this.#serveReads(ready);
    this.#core?.advance();
    this.#observe();
    this.#isBusy = false;
    this.#wake();
  }

  #write(frame: { hardState: HardState | undefined; entries: readonly Entry[]; snapshot: Snapshot | undefined }): void {
    this.#world.checkers.writing(this, frame.entries, this.#isLeading());
    this.disk.write(frame);
  }

  /** Calls `done` when everything written so far is durable, and this node has learnt of it. */
  #sync(done: () => void): void {
    const count = this.disk.unsyncedFrames;
    this.#later(this.#world.syncDelayMs(), () => {
      if (this.#settings.mutation !== 'sync-does-nothing') this.disk.sync(Math.min(count, this.disk.unsyncedFrames));
      this.#whenAwake(done);
    });
  }

  // Asynchronous storage: one thread appends, another applies, and their responses are messages.

  #handleAsync(ready: Ready): void {
    this.#serveReads(ready);
    let append: Message | undefined;
    const votes: Message[] = [];
    for (const message of ready.messages) {
      if (message.to === localAppendThread) append = message;
      else if (message.to === localApplyThread) this.#applyQueue.push(message);
      else if (message.type === MessageType.vote) votes.push(message);
      else this.#sendAll([message]);
    }
    // A candidate's request speaks of a term and a log that a crash might take back, so it waits for them.
    if (append !== undefined) this.#appendQueue.push({ message: append, votes });
    else this.#sendAll(votes);
    this.#runAppendThread();
    this.#runApplyThread();
  }

  #runAppendThread(): void {
    if (this.#isAppending || this.#appendQueue.length === 0) return;
    this.#isAppending = true;
    const batch = this.#appendQueue.splice(0);
    let mustSync = false;
    for (const { message } of batch) mustSync = this.#append(message) || mustSync;
    const finish = (): void => {
      this.#isAppending = false;
      for (const { message, votes } of batch) {
        if (message.snapshot !== undefined) this.#restore(message.snapshot);
        this.#respond(message.responses);
        this.#sendAll(votes);
      }
      this.#runAppendThread();
    };
    if (mustSync) this.#sync(finish);
    else this.#later(0, () => this.#whenAwake(finish));
  }

  /** Writes what the message says. Whether it must be durable before it is answered. */
  #append({ term, vote, commit, entries, snapshot }: Message): boolean {
    const before = this.disk.initialState().hardState;
    const hardState = term > 0 ? { term, vote, commit } : undefined;
    if (hardState !== undefined || entries.length > 0 || snapshot !== undefined)
      this.#write({ hardState, entries, snapshot });
    const isPromise = hardState !== undefined && (hardState.term !== before.term || hardState.vote !== before.vote);
    return isPromise || entries.length > 0 || snapshot !== undefined;
  }

  #runApplyThread(): void {
    if (this.#isApplying || this.#applyQueue.length === 0) return;
    this.#isApplying = true;
    this.#later(this.#world.scheduler.between(0, 2), () =>
      this.#whenAwake(() => {
        this.#isApplying = false;
        const message = this.#applyQueue.shift();
        if (message === undefined) return;
        this.#apply(message.entries);
        this.#respond(message.responses);
        this.#runApplyThread();
      }),
    );
  }

  #respond(responses: readonly Message[]): void {
    for (const response of responses) {
      if (response.to !== this.id) this.#sendAll([response]);
      else this.#core?.step(response);
      this.#observe();
    }
    this.#wake();
  }

  // The state machine and those who wait for it.

  #restore(snapshot: Snapshot): void {
    const { index, term, confState } = snapshot.metadata;
    if (index <= this.machine.applied) return;
    this.machine.restore(snapshot.data);
    this.machine.applied = index;
    this.machine.appliedTerm = term;
    this.#confState = confState;
    this.#world.checkers.restored(this.id, this.machine);
    this.#serveDue();
  }

  #apply(entries: readonly Entry[]): void {
    for (const entry of entries) {
      // An entry that a snapshot has overtaken.
      if (entry.index <= this.machine.applied) continue;
      this.#world.checkers.applying(this.id, this.machine.applied, entry);
      const isChange = entry.type !== EntryType.normal;
      const outcome = this.machine.apply(this.#mutated(entry), !isChange && entry.data.length > 0);
      if (isChange) this.#confState = this.#core!.applyConfEntry(entry);
      this.#observe();
      this.#world.checkers.applied(this.id, this.machine);
      if (outcome !== undefined) {
        const key = `${outcome.client}.${outcome.sequence}`;
        const done = this.#writes.get(key);
        this.#writes.delete(key);
        done?.({ status: 'ok', value: outcome.written });
      }
    }
    this.#serveDue();
  }

  #mutated(entry: Entry): Entry {
    const isWrong = this.#settings.mutation === 'apply-something-else' && this.id === 2 && entry.index % 7 === 0;
    if (!isWrong || entry.data.length === 0) return entry;
    const data = entry.data.slice();
    // The last character of the value.
    data[data.length - 1] = 0x21;
    return { ...entry, data };
  }

  #serveReads(ready: Ready): void {
    for (const { index, context } of ready.readStates) {
      const read = this.#reads.get(context);
      if (read === undefined) continue;
      this.#reads.delete(context);
      const isMutated = this.#settings.mutation === 'read-before-applied';
      this.#due.push({ index: isMutated ? 0 : index, read });
    }
    this.#serveDue();
  }

  #serveDue(): void {
    const waiting = this.#due;
    this.#due = [];
    for (const each of waiting) {
      if (each.index > this.machine.applied) this.#due.push(each);
      else each.read.done({ status: 'ok', value: this.machine.read(each.read.key) });
    }
  }
}
