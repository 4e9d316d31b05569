import { type ConfState, type Entry, EntryType, type NodeId, type Ready, type Snapshot } from '@dcache/raft';
import type { Mutation } from './mutation.js';
import { type Command, RegisterMachine } from './state-machine.js';

/** A node's answer to a client; `lost` says nothing about whether it happened. */
export type Answer<T> = { readonly status: 'ok'; readonly value: T } | { readonly status: 'refused' | 'lost' };

interface WaitingRead {
  readonly key: string;
  readonly done: (answer: Answer<string>) => void;
}

/** Called around each entry that is applied. */
export interface ReplicaEvents {
  applying(applied: number, entry: Entry): void;
  /** Makes a committed change of the members. */
  applyChange(entry: Entry): ConfState;
  applied(machine: RegisterMachine): void;
}

/** What one process has applied, and the clients who wait for it. */
export class Replica {
  readonly machine: RegisterMachine;
  #confState: ConfState;
  readonly #id: NodeId;
  readonly #mutation: Mutation | undefined;
  readonly #events: ReplicaEvents;
  readonly #writes = new Map<string, (answer: Answer<boolean>) => void>();
  readonly #reads = new Map<number, WaitingRead>();
  /** Reads that wait for their index to be applied. */
  #due: { readonly index: number; readonly read: WaitingRead }[] = [];

  /** Begins with the state of `snapshot`, or empty with the members `confState`. */
  constructor(id: NodeId, snapshot: Snapshot | undefined, mutation: Mutation | undefined, events: ReplicaEvents) {
    this.#id = id;
    this.#mutation = mutation;
    this.#events = events;
    this.machine = new RegisterMachine(mutation !== 'apply-retries-twice');
    this.#confState = { voters: [], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false };
    if (snapshot !== undefined) this.#load(snapshot);
  }

  /** The members as of what is applied. */
  get confState(): ConfState {
    return this.#confState;
  }

  /** What is applied, now; undefined before anything is. */
  snapshot(): Snapshot | undefined {
    const { applied: index, appliedTerm: term } = this.machine;
    if (index === 0) return undefined;
    return { metadata: { index, term, confState: this.#confState }, data: this.machine.save() };
  }

  restore(snapshot: Snapshot): void {
    if (snapshot.metadata.index <= this.machine.applied) return;
    this.#load(snapshot);
    this.#events.applied(this.machine);
    this.#serve();
  }

  apply(entries: readonly Entry[]): void {
    for (const entry of entries) {
      // One that a snapshot has overtaken.
      if (entry.index <= this.machine.applied) continue;
      this.#events.applying(this.machine.applied, entry);
      const isChange = entry.type !== EntryType.normal;
      const outcome = this.machine.apply(this.#mutated(entry), !isChange && entry.data.length > 0);
      if (isChange) this.#confState = this.#events.applyChange(entry);
      this.#events.applied(this.machine);
      if (outcome === undefined) continue;
      const key = `${outcome.client}.${outcome.sequence}`;
      const done = this.#writes.get(key);
      this.#writes.delete(key);
      done?.({ status: 'ok', value: outcome.written });
    }
    this.#serve();
  }

  /** `done` is called once the command is applied here; the function returned forgets it. */
  awaitWrite({ client, sequence }: Command, done: (answer: Answer<boolean>) => void): () => void {
    const key = `${client}.${sequence}`;
    this.#writes.set(key, done);
    return () => this.#writes.delete(key);
  }

  /** `done` is called once the read with this context may be served; the function returned forgets it. */
  awaitRead(context: number, key: string, done: (answer: Answer<string>) => void): () => void {
    this.#reads.set(context, { key, done });
    return () => this.#reads.delete(context);
  }

  /** Reads that may be served at their index. */
  confirm(readStates: Ready['readStates']): void {
    for (const { index, context } of readStates) {
      const read = this.#reads.get(context);
      if (read === undefined) continue;
      this.#reads.delete(context);
      this.#due.push({ index: this.#mutation === 'read-before-applied' ? 0 : index, read });
    }
    this.#serve();
  }

  /** The process is gone: nobody is answered any more. */
  abandon(): void {
    for (const done of this.#writes.values()) done({ status: 'lost' });
    for (const { done } of this.#reads.values()) done({ status: 'lost' });
    for (const { read } of this.#due) read.done({ status: 'lost' });
  }

  #load({ metadata, data }: Snapshot): void {
    this.machine.restore(data);
    this.machine.applied = metadata.index;
    this.machine.appliedTerm = metadata.term;
    this.#confState = metadata.confState;
  }

  #mutated(entry: Entry): Entry {
    const isWrong = this.#mutation === 'apply-something-else' && this.#id === 2 && entry.index % 7 === 0;
    if (!isWrong || entry.data.length === 0) return entry;
    const data = entry.data.slice();
    // The last character of the value.
    data[data.length - 1] = 0x21;
    return { ...entry, data };
  }

  #serve(): void {
    const waiting = this.#due;
    this.#due = [];
    for (const each of waiting) {
      if (each.index > this.machine.applied) this.#due.push(each);
      else each.read.done({ status: 'ok', value: this.machine.read(each.read.key) });
    }
  }
}
