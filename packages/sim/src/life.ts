import { SeededRandom } from '@dcache/base';
import {
  type BasicStatus,
  type Entry,
  type HardState,
  localAppendThread,
  localApplyThread,
  type Message,
  MessageType,
  RawNode,
  type Ready,
  Role,
  type Snapshot,
} from '@dcache/raft';
import type { Watched } from './checkers.js';
import { Replica } from './replica.js';
import type { NodeSettings, NodeWorld } from './world.js';

/** What arrives at a paused process waits in its sockets, up to a bound. */
const maxBacklog = 5_000;

/**
 * One life of a node's process, from a start to a crash: a core, what it has applied, and the duties of a driver between
 * core, disk and network. Nothing of a life reaches the next but by the disk.
 */
export class Life {
  readonly core: RawNode;
  readonly replica: Replica;
  readonly #node: Watched;
  readonly #settings: NodeSettings;
  readonly #world: NodeWorld;
  #isOver = false;
  #isPaused = false;
  #backlog: (() => void)[] = [];
  #isPumpDue = false;
  /** Whether a `Ready` is being worked on (synchronous storage). */
  #isBusy = false;
  #appendQueue: { readonly message: Message; readonly votes: readonly Message[] }[] = [];
  #isAppending = false;
  readonly #applyQueue: Message[] = [];
  #isApplying = false;

  constructor(node: Watched, settings: NodeSettings, world: NodeWorld) {
    this.#node = node;
    this.#settings = settings;
    this.#world = world;
    const { checkers, scheduler } = world;
    const { isAsync, mutation, isDurable: _, ...options } = settings;
    this.replica = new Replica(node.id, node.disk.storedSnapshot(), mutation, {
      applying: (applied, entry) => checkers.applying(node.id, applied, entry),
      applyChange: (entry) => {
        const confState = this.core.applyConfEntry(entry);
        this.#observe();
        return confState;
      },
      applied: (machine) => checkers.applied(node.id, machine),
    });
    this.core = new RawNode({
      ...options,
      id: node.id,
      storage: node.disk,
      random: new SeededRandom(scheduler.below(2 ** 31)),
      applied: this.replica.machine.applied,
      asyncStorageWrites: isAsync,
    });
  }

  get status(): BasicStatus {
    return this.core.basicStatus();
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  end(): void {
    this.#isOver = true;
    this.replica.abandon();
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    const backlog = this.#backlog;
    this.#backlog = [];
    for (const run of backlog) if (!this.#isOver) run();
  }

  /** Something happens to the core: now, or when the process wakes; then its wishes are looked at. */
  feed(run: (core: RawNode) => void): void {
    this.#whenAwake(() => {
      run(this.core);
      this.#observe();
      this.wake();
    });
  }

  /** Runs `run` in `delayMs` unless the process has died meanwhile. */
  later(delayMs: number, run: () => void): void {
    this.#world.scheduler.after(delayMs, () => {
      if (!this.#isOver) run();
    });
  }

  /** Sees to it that the core's wishes are looked at, once for all that happens in this moment. */
  wake(): void {
    if (this.#isPumpDue) return;
    this.#isPumpDue = true;
    this.later(0, () => {
      this.#isPumpDue = false;
      this.#whenAwake(() => this.#pump());
    });
  }

  #whenAwake(run: () => void): void {
    if (!this.#isPaused) run();
    else if (this.#backlog.length < maxBacklog) this.#backlog.push(run);
  }

  #pump(): void {
    while (!this.#isBusy && this.core.hasReady()) {
      this.#observe();
      const ready = this.core.ready();
      this.#note(ready);
      this.#world.checkers.handedOut(this.#node, ready);
      if (ready.softState?.role === Role.leader) this.#world.elected();
      if (this.#settings.isAsync) this.#handleAsync(ready);
      else this.#handleSync(ready);
    }
    this.#observe();
  }

  #observe(): void {
    this.#world.checkers.observed(this.#node, this.status);
  }

  #note({ softState, hardState, entries, snapshot, committedEntries }: Ready): void {
    const parts: string[] = [];
    const range = (list: readonly Entry[]): string => `${list[0]!.index}-${list.at(-1)!.index}`;
    if (softState !== undefined) parts.push(`leader=${softState.leader} role=${softState.role}`);
    if (hardState !== undefined) parts.push(`term=${hardState.term} vote=${hardState.vote} commit=${hardState.commit}`);
    if (entries.length > 0) parts.push(`entries=${range(entries)}`);
    if (snapshot !== undefined) parts.push(`snapshot=${snapshot.metadata.index}`);
    if (committedEntries.length > 0) parts.push(`apply=${range(committedEntries)}`);
    if (parts.length > 0) this.#world.note(`ready ${this.#node.id} ${parts.join(' ')}`);
  }

  #send(messages: readonly Message[]): void {
    for (const message of messages) {
      this.#world.checkers.sent(this.#node, message);
      this.#world.send(this.#node.id, message);
    }
  }

  #write(hardState: HardState | undefined, entries: readonly Entry[], snapshot: Snapshot | undefined): void {
    if (hardState === undefined && entries.length === 0 && snapshot === undefined) return;
    this.#world.checkers.writing(this.#node, entries, this.core.role === Role.leader);
    this.#node.disk.write({ hardState, entries, snapshot });
  }

  /** Calls `done` when everything written so far is durable, and this process has learnt of it. */
  #sync(done: () => void): void {
    const { disk } = this.#node;
    const count = disk.unsyncedFrames;
    this.later(this.#world.syncDelayMs(), () => {
      if (this.#settings.mutation !== 'sync-does-nothing') disk.sync(Math.min(count, disk.unsyncedFrames));
      this.#whenAwake(done);
    });
  }

  // Synchronous storage: one Ready at a time, and advance() at its end.

  #handleSync(ready: Ready): void {
    this.#isBusy = true;
    this.#send(ready.messages);
    this.#write(ready.hardState, ready.entries, ready.snapshot);
    if (this.#settings.mutation === 'answer-before-sync') this.#send(ready.messagesAfterAppend);
    if (ready.mustSync || ready.snapshot !== undefined) this.#sync(() => this.#finish(ready));
    else this.#finish(ready);
  }

  #finish(ready: Ready): void {
    if (this.#settings.mutation !== 'answer-before-sync') this.#send(ready.messagesAfterAppend);
    if (ready.snapshot !== undefined) this.replica.restore(ready.snapshot);
    this.replica.apply(ready.committedEntries);
    this.replica.confirm(ready.readStates);
    this.core.advance();
    this.#observe();
    this.#isBusy = false;
    this.wake();
  }

  // Asynchronous storage: one thread appends, another applies, and their responses are messages.

  #handleAsync(ready: Ready): void {
    this.replica.confirm(ready.readStates);
    let append: Message | undefined;
    const votes: Message[] = [];
    for (const message of ready.messages) {
      if (message.to === localAppendThread) append = message;
      else if (message.to === localApplyThread) this.#applyQueue.push(message);
      else if (message.type === MessageType.vote) votes.push(message);
      else this.#send([message]);
    }
    // A candidate's request speaks of a term and a log that a crash might take back, so it waits for them.
    if (append !== undefined) this.#appendQueue.push({ message: append, votes });
    else this.#send(votes);
    this.#runAppendThread();
    this.#runApplyThread();
  }

  #runAppendThread(): void {
    if (this.#isAppending || this.#appendQueue.length === 0) return;
    this.#isAppending = true;
    const batch = this.#appendQueue;
    this.#appendQueue = [];
    let mustSync = false;
    for (const { message } of batch) mustSync = this.#append(message) || mustSync;
    const finish = (): void => {
      this.#isAppending = false;
      for (const { message, votes } of batch) {
        if (message.snapshot !== undefined) this.replica.restore(message.snapshot);
        this.#respond(message.responses);
        this.#send(votes);
      }
      this.#runAppendThread();
    };
    if (mustSync) this.#sync(finish);
    else this.later(0, () => this.#whenAwake(finish));
  }

  /** Writes what the message says. Whether it must be durable before it is answered. */
  #append({ term, vote, commit, entries, snapshot }: Message): boolean {
    const before = this.#node.disk.initialState().hardState;
    const hardState = term > 0 ? { term, vote, commit } : undefined;
    this.#write(hardState, entries, snapshot);
    const isPromise = hardState !== undefined && (hardState.term !== before.term || hardState.vote !== before.vote);
    return isPromise || entries.length > 0 || snapshot !== undefined;
  }

  #runApplyThread(): void {
    if (this.#isApplying || this.#applyQueue.length === 0) return;
    this.#isApplying = true;
    this.later(this.#world.scheduler.between(0, 2), () =>
      this.#whenAwake(() => {
        this.#isApplying = false;
        const message = this.#applyQueue.shift()!;
        this.replica.apply(message.entries);
        this.#respond(message.responses);
        this.#runApplyThread();
      }),
    );
  }

  #respond(responses: readonly Message[]): void {
    for (const response of responses) {
      if (response.to !== this.#node.id) this.#send([response]);
      else this.core.step(response);
      this.#observe();
    }
    this.wake();
  }
}
