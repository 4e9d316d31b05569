import { SeededRandom } from '@dcache/base';
import { type ConfChange, decodeConfChange } from '../core/conf-change.js';
import {
  type ConfState,
  type Entry,
  EntryType,
  type HardState,
  isLocalThread,
  localAppendThread,
  localApplyThread,
  type Message,
  MessageType,
  makeMessage,
  type NodeId,
  noBytes,
  type Snapshot,
} from '../core/message.js';
import type { RawNodeOptions } from '../core/options.js';
import { RawNode } from '../core/raw-node.js';
import type { ProposeResult } from '../core/ready.js';
import { logLine } from './log-line.js';
import { MemoryLog } from './memory-log.js';
import { Output } from './output.js';
import { entriesText, messageText, readyText } from './render.js';

/** One core with its storage, its state machine and its storage threads. */
interface Member {
  readonly node: RawNode;
  readonly log: MemoryLog;
  readonly isAsync: boolean;
  /** State of the machine after each applied entry: it appends what it is given. */
  readonly history: Snapshot[];
  readonly appendWork: Message[];
  readonly applyWork: Message[];
}

export type MemberOptions = Omit<RawNodeOptions, 'id' | 'storage' | 'random' | 'trace'>;

/** The limits of a core as the scripts know it: none, except what a script sets. */
export const unlimited: MemberOptions = {
  electionTicks: 3,
  heartbeatTicks: 1,
  maxSizePerMessage: Number.POSITIVE_INFINITY,
  maxUncommittedSize: Number.POSITIVE_INFINITY,
  maxInflightMessages: 2 ** 31 - 1,
  preVote: false,
  checkQuorum: false,
  stepDownOnRemoval: false,
};

/** After so many rounds a cluster that is still busy never ends. */
const maxRounds = 10_000;

/** A refusal that a script expects to see printed. */
export class ScriptError extends Error {
  override readonly name = 'ScriptError';
}

/** The cores of a script and the messages between them. Nothing moves unless a command moves it. */
export class Cluster {
  readonly output: Output = new Output();
  readonly #members: Member[] = [];
  #messages: Message[] = [];

  get size(): number {
    return this.#members.length;
  }

  /** Adds `count` cores that begin with `snapshot`; without one they begin empty. */
  add(count: number, options: MemberOptions, snapshot: Snapshot | undefined): void {
    for (let i = 0; i < count; i++) this.#addOne(this.size + 1, options, snapshot);
  }

  #addOne(id: NodeId, options: MemberOptions, snapshot: Snapshot | undefined): void {
    const log = new MemoryLog();
    if (snapshot !== undefined) {
      if (snapshot.metadata.index <= 1) throw new ScriptError('index must be specified as > 1 due to bootstrap');
      log.applySnapshot(snapshot);
    }
    const empty: ConfState = { voters: [], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false };
    const history = [snapshot ?? { metadata: { index: 0, term: 0, confState: empty }, data: noBytes }];
    log.snapshotSource = () => history.at(-1);
    const node = new RawNode({
      ...options,
      id,
      storage: log,
      random: new SeededRandom(id),
      applied: snapshot?.metadata.index ?? 0,
      trace: (event) => {
        const line = logLine(id, event);
        if (line !== undefined) this.output.log(line);
      },
    });
    const isAsync = options.asyncStorageWrites ?? false;
    this.#members.push({ node, log, isAsync, history, appendWork: [], applyWork: [] });
  }

  /** The core called `id`. */
  node(id: NodeId): RawNode {
    return this.#member(id).node;
  }

  #member(id: NodeId): Member {
    const member = this.#members[id - 1];
    if (member === undefined) throw new ScriptError(`there is no node ${id}, only 1 to ${this.size}`);
    return member;
  }

  propose(id: NodeId, data: Uint8Array): void {
    this.#expectTaken(this.node(id).propose(data));
  }

  proposeConfChange(id: NodeId, change: ConfChange): void {
    this.#expectTaken(this.node(id).proposeConfChange(change));
  }

  #expectTaken(result: ProposeResult): void {
    if (result.status === 'dropped') throw new ScriptError('raft proposal dropped');
  }

  /** Drops the log of `id` up to `index`. */
  compact(id: NodeId, index: number): void {
    this.#member(id).log.compact(index);
    this.writeLog(id);
  }

  writeLog(id: NodeId): void {
    const { log } = this.#member(id);
    const first = log.firstIndex();
    const last = log.lastIndex();
    if (last < first) this.output.write(`log is empty: first index=${first}, last index=${last}`);
    else this.output.write(entriesText(log.entries(first, last + 1, Number.POSITIVE_INFINITY)!));
  }

  /** Queues the newest snapshot of `from` for `to`, past the core. */
  sendSnapshot(from: NodeId, to: NodeId): void {
    const { node, log } = this.#member(from);
    const message = makeMessage(MessageType.snapshot, to, { from, term: node.term, snapshot: log.snapshot() });
    this.#messages.push(message);
    this.output.write(messageText(message));
  }

  /** Takes a `Ready` of `id` and does what it says. */
  processReady(id: NodeId): void {
    const member = this.#member(id);
    const ready = member.node.ready();
    this.output.write(readyText(ready));
    if (!member.isAsync) {
      this.#write(member, ready.hardState, ready.entries, ready.snapshot);
      this.#apply(member, ready.committedEntries);
    }
    for (const message of [...ready.messages, ...ready.messagesAfterAppend]) {
      if (message.to === localAppendThread) member.appendWork.push(message);
      else if (message.to === localApplyThread) member.applyWork.push(message);
      else this.#messages.push(message);
    }
    if (!member.isAsync) member.node.advance();
  }

  #write(
    { log }: Member,
    hardState: HardState | undefined,
    entries: readonly Entry[],
    snapshot: Snapshot | undefined,
  ): void {
    if (hardState !== undefined) log.hardState = hardState;
    if (snapshot === undefined) log.append(entries);
    else if (entries.length > 0) throw new ScriptError("can't apply snapshot and entries at the same time");
    else log.applySnapshot(snapshot);
  }

  #apply({ node, history }: Member, entries: readonly Entry[]): void {
    for (const entry of entries) {
      const { index, term, type, data } = entry;
      const before = history.at(-1)!;
      let confState = before.metadata.confState;
      let update = data;
      if (type !== EntryType.normal) {
        const change = decodeConfChange(type, data);
        if (change === undefined) throw new ScriptError(`entry ${index} is no configuration change`);
        confState = node.applyConfEntry(entry);
        update = change.context ?? noBytes;
      }
      const state = new Uint8Array(before.data.length + update.length);
      state.set(before.data);
      state.set(update, before.data.length);
      history.push({ metadata: { index, term, confState }, data: state });
    }
  }

  /** Does the oldest write that waits at `id`. */
  processAppendThread(id: NodeId): void {
    const member = this.#member(id);
    const message = member.appendWork.shift();
    if (message === undefined) {
      this.output.write('no append work to perform');
      return;
    }
    this.#writeProcessing(message);
    const { term, vote, commit } = message;
    const hardState = term > 0 || vote > 0 || commit > 0 ? { term, vote, commit } : undefined;
    this.#write(member, hardState, message.entries, message.snapshot);
    this.#respond(message);
  }

  /** Applies the oldest entries that wait at `id`. */
  processApplyThread(id: NodeId): void {
    const member = this.#member(id);
    const message = member.applyWork.shift();
    if (message === undefined) {
      this.output.write('no apply work to perform');
      return;
    }
    this.#writeProcessing(message);
    this.#apply(member, message.entries);
    this.#respond(message);
  }

  #writeProcessing(message: Message): void {
    this.output.write(`Processing:\n${messageText({ ...message, responses: [] })}\n`);
  }

  #respond({ responses }: Message): void {
    this.output.write(`Responses:\n${responses.map((response) => `${messageText(response)}\n`).join('')}`);
    this.#messages.push(...responses);
  }

  /** Hands the messages for `to`, of one type or of all, to their core, or loses them. How many there were. */
  deliver(to: NodeId, type: MessageType | undefined, isDropped: boolean): number {
    const mine: Message[] = [];
    const rest: Message[] = [];
    for (const message of this.#messages) (this.#isFor(message, to, type, isDropped) ? mine : rest).push(message);
    this.#messages = rest;
    for (const message of mine) {
      this.output.write(`${isDropped ? 'dropped: ' : ''}${messageText(message)}\n`);
      if (!isDropped) this.#step(message);
    }
    return mine.length;
  }

  #isFor(message: Message, to: NodeId, type: MessageType | undefined, isDropped: boolean): boolean {
    // Nothing can be lost between a node and its own threads.
    const isLocal = message.from === message.to || isLocalThread(message.from);
    return message.to === to && !(isDropped && isLocal) && (type === undefined || message.type === type);
  }

  #step(message: Message): void {
    const result = this.node(message.to).step(message);
    if (result === 'proposal-dropped') this.output.write('raft proposal dropped\n');
    else if (result === 'unknown-peer') this.output.write('raft: cannot step as peer not found\n');
    else if (result === 'local-message') this.output.write('raft: cannot step raft local message\n');
  }

  /** Processes everything at these nodes, all without any named, until nothing is left to do. */
  stabilize(ids: readonly NodeId[]): void {
    const nodes = ids.length > 0 ? ids : this.#members.map(({ node }) => node.id);
    for (let round = 0; this.#stabilizeOnce(nodes); round++)
      if (round >= maxRounds) throw new ScriptError(`still busy after ${maxRounds} rounds`);
  }

  #stabilizeOnce(ids: readonly NodeId[]): boolean {
    const { output } = this;
    let isBusy = false;
    const section = (title: string, run: () => void): void => {
      isBusy = true;
      output.write(`> ${title}\n`);
      output.indented(run);
    };
    for (const id of ids) if (this.node(id).hasReady()) section(`${id} handling Ready`, () => this.processReady(id));
    for (const id of ids)
      if (this.#messages.some(({ to }) => to === id))
        section(`${id} receiving messages`, () => this.deliver(id, undefined, false));
    for (const id of ids) {
      const { appendWork } = this.#member(id);
      if (appendWork.length > 0)
        section(`${id} processing append thread`, () => {
          while (appendWork.length > 0) this.processAppendThread(id);
        });
    }
    for (const id of ids) {
      const { applyWork } = this.#member(id);
      if (applyWork.length > 0)
        section(`${id} processing apply thread`, () => {
          while (applyWork.length > 0) this.processApplyThread(id);
        });
    }
    return isBusy;
  }
}
