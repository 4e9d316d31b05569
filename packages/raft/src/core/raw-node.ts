import { assert } from '@dcache/base';
import { type ConfChange, confChangeEntryType, decodeConfChange, encodeConfChange } from './conf-change.js';
import { entriesSize } from './entry-size.js';
import { answerHeartbeat } from './follower.js';
import { applyConfChange, assertReadable, refusalOf } from './membership.js';
import {
  type ConfState,
  type Entry,
  EntryType,
  type HardState,
  isLocalThread,
  isLocalType,
  isResponseType,
  localAppendThread,
  localApplyThread,
  type Message,
  MessageType,
  makeMessage,
  type NodeId,
  noMessages,
  noNode,
  type ReadState,
  Role,
  type SoftState,
} from './message.js';
import { type RawNodeOptions, resolveOptions } from './options.js';
import type { VoteResult } from './quorum.js';
import { propose, startRaft, step, tick } from './raft.js';
import { requestRead } from './read.js';
import type {
  BasicStatus,
  ConfChangeRefusal,
  PeerStatus,
  ProposeResult,
  ReadIndexResult,
  Ready,
  Status,
  StepResult,
} from './ready.js';
import type { RaftState } from './state.js';
import { isWellFormed } from './well-formed.js';

type Outbox = Pick<Ready, 'messages' | 'messagesAfterAppend'>;
type Work = Omit<Ready, keyof Outbox | 'readStates'>;

const noReadStates: readonly ReadState[] = Object.freeze([]);
const stateNames = ['probe', 'replicate', 'snapshot'] as const;

/**
 * One Raft node without clock, disk or network: all that a driver sees of the core.
 *
 * Time comes in by `tick()`, messages by `step()`, wishes by `propose()` and the like. After any of them, while
 * `hasReady()`: take `ready()`, do what it says in its order, and call `advance()`. Nothing else may be assumed to have
 * happened until then. Not reentrant; every call returns at once.
 */
export class RawNode {
  readonly #state: RaftState;
  readonly #isAsync: boolean;
  #softState: SoftState;
  #hardState: HardState;
  /** What the last `Ready` answers to this node itself, once done. */
  #onAdvance: Message[] = [];
  #isAccepted = false;

  /** Throws a `TypeError` on an option that is wrong, an `AssertionError` on a storage that contradicts itself. */
  constructor(options: RawNodeOptions) {
    const resolved = resolveOptions(options);
    this.#state = startRaft(resolved);
    this.#isAsync = resolved.asyncStorageWrites;
    this.#softState = { leader: this.#state.leader, role: this.#state.role };
    this.#hardState = this.#state.hardState;
  }

  get id(): NodeId {
    return this.#state.id;
  }

  /** Who leads this term, 0 when unknown. */
  get leader(): NodeId {
    return this.#state.leader;
  }

  get role(): Role {
    return this.#state.role;
  }

  get term(): number {
    return this.#state.term;
  }

  /** Lets one tick pass. */
  tick(): void {
    tick(this.#state);
  }

  /** Takes a message from a peer, or from a storage thread. */
  step(message: Message): StepResult {
    const isThread = isLocalThread(message.from);
    if (isLocalType(message.type) && !isThread) return 'local-message';
    if (isResponseType(message.type) && !isThread && this.#state.tracker.get(message.from) === undefined)
      return 'unknown-peer';
    if (!isThread && !isWellFormed(message, this.id)) return 'malformed';
    return step(this.#state, message);
  }

  /**
   * Says whether the disk has no room for more log. Such a node tells its leader so, at once and with each heartbeat, and
   * stands for election only after all others had their turn. Default false.
   */
  setFull(isFull: boolean): void {
    if (isFull === this.#state.isFull) return;
    this.#state.isFull = isFull;
    if (this.#state.role === Role.follower && this.#state.leader !== noNode) answerHeartbeat(this.#state, 0);
  }

  /**
   * Whether the disks of a quorum have room for more log: `won` when they have, `lost` when they have not, `pending` while
   * too few have said. Only a leader knows. What is proposed when it is lost could not be committed.
   */
  get room(): VoteResult {
    const { tracker, id, isFull } = this.#state;
    return tracker.roomResult(id, isFull);
  }

  /** Stands for election now. */
  campaign(): void {
    step(this.#state, makeMessage(MessageType.hup, this.id));
  }

  /** Proposes entries with these bytes: all or none, at `index`, `index + 1`, and so on. */
  propose(...data: readonly Uint8Array[]): ProposeResult {
    const state = this.#state;
    // A leader's entries are made for their place at once; for another's, the place is not known.
    const isLeader = state.role === Role.leader;
    const first = isLeader ? state.log.lastIndex + 1 : 0;
    const term = isLeader ? state.term : 0;
    const entries: Entry[] = [];
    for (let i = 0; i < data.length; i++)
      entries.push({ index: isLeader ? first + i : 0, term, type: EntryType.normal, data: data[i]! });
    return propose(state, entries, state.id);
  }

  /** Proposes a change of the members. It takes effect on each node when that applies it. */
  proposeConfChange(change: ConfChange): ProposeResult {
    const entry = { index: 0, term: 0, type: confChangeEntryType(change), data: encodeConfChange(change) };
    return propose(this.#state, [entry], this.id);
  }

  /**
   * Why `proposeConfChange` would only put an empty entry into the log in place of this change; undefined when it would
   * take it. Only a leader knows. An empty entry weighs nothing, so `maxUncommittedSize` does not bound their number:
   * who tries again and again asks here before.
   */
  confChangeRefusal(change: ConfChange): ConfChangeRefusal | undefined {
    return refusalOf(this.#state, decodeConfChange(confChangeEntryType(change), encodeConfChange(change)));
  }

  /**
   * Makes a committed change, and answers the members as of that entry, for a snapshot that ends there. Call it for each
   * configuration entry of `committedEntries`, in order, when it is applied, before `advance()`. The node itself may
   * already go by later members, of a snapshot that came meanwhile.
   */
  applyConfEntry(entry: Entry): ConfState {
    const change = decodeConfChange(entry.type, entry.data);
    assertReadable(change, entry.index);
    return applyConfChange(this.#state, change, entry.index);
  }

  /**
   * Asks for an index up to which the state machine must be to answer reads that came before this call; it comes as a
   * `ReadState` with the same context, or never: then ask again, with a fresh context. `context` is an integer from 1
   * to 2^53-1 that this node did not use since its log began; start from a random one, and an answer to a request from
   * before a restart is never taken for one to a later request. (Thesis §6.4)
   */
  readIndex(context: number): ReadIndexResult {
    assert(
      Number.isSafeInteger(context) && context > 0,
      `a read's context is an integer from 1 to 2^53-1, got ${context}`,
    );
    const state = this.#state;
    if (state.role === Role.leader) return requestRead(state, { from: noNode, context });
    step(state, makeMessage(MessageType.readIndex, this.id, { context }));
    return state.role === Role.follower && state.leader !== noNode ? 'requested' : 'no-leader';
  }

  /** Asks that `to` lead. Watch `softState` for whether it does; the leader gives up after an election timeout. */
  transferLeader(to: NodeId): void {
    step(this.#state, makeMessage(MessageType.transferLeader, this.id, { from: to }));
  }

  /** A follower stays in its term without a leader, and may vote for another. */
  forgetLeader(): void {
    step(this.#state, makeMessage(MessageType.forgetLeader, this.id));
  }

  /** A message to `id` was probably lost. */
  reportUnreachable(id: NodeId): void {
    step(this.#state, makeMessage(MessageType.unreachable, this.id, { from: id }));
  }

  /** The snapshot for `id` was sent, or could not be. Every snapshot message wants this call. */
  reportSnapshot(id: NodeId, ok: boolean): void {
    step(this.#state, makeMessage(MessageType.snapshotStatus, this.id, { from: id, reject: !ok }));
  }

  /** Sets the election timeout drawn for this term, for tests. */
  setRandomizedElectionTicks(ticks: number): void {
    this.#state.randomizedElectionTicks = ticks;
  }

  /** Whether `ready()` has something to do. False between `ready()` and `advance()`, unless storage is asynchronous. */
  hasReady(): boolean {
    const { log, messages, messagesAfterAppend, readStates } = this.#state;
    return (
      messages.length > 0 ||
      messagesAfterAppend.length > 0 ||
      log.unstable.hasNext ||
      log.hasNextCommitted(!this.#isAsync) ||
      this.#isSoftStateNew() ||
      this.#isHardStateNew() ||
      log.unstable.nextSnapshot !== undefined ||
      readStates.length > 0
    );
  }

  /** What is to be done now. Each thing is handed out once. */
  ready(): Ready {
    assert(this.#isAsync || !this.#isAccepted, 'ready() was called again before advance()');
    const state = this.#state;
    const { log, readStates } = state;
    const snapshot = log.unstable.nextSnapshot;
    const softState = this.#isSoftStateNew() ? { leader: state.leader, role: state.role } : undefined;
    const hardState = this.#isHardStateNew() ? state.hardState : undefined;
    const entries = log.unstable.next();
    const committedEntries = log.nextCommitted(!this.#isAsync);
    const mustSync = entries.length > 0 || state.term !== this.#hardState.term || state.vote !== this.#hardState.vote;
    const work = { softState, hardState, entries, snapshot, committedEntries, mustSync };
    const { messages, messagesAfterAppend } = this.#isAsync
      ? this.#outboxWithThreads(work)
      : this.#outboxForDriver(work);
    this.#accept(work);
    // One literal with every field: a ready is made for each turn, and copies of optional fields are slow.
    return {
      softState,
      hardState,
      readStates: readStates.length > 0 ? readStates : noReadStates,
      entries,
      snapshot,
      committedEntries,
      messages,
      messagesAfterAppend,
      mustSync,
    };
  }

  /** Takes what is handed out off the lists. */
  #accept({ softState, hardState, committedEntries }: Work): void {
    const state = this.#state;
    state.messages = [];
    state.messagesAfterAppend = [];
    state.readStates = [];
    state.log.unstable.accept();
    const last = committedEntries.at(-1);
    if (last !== undefined) state.log.acceptApplying(last.index, entriesSize(committedEntries), !this.#isAsync);
    if (softState !== undefined) this.#softState = softState;
    if (hardState !== undefined) this.#hardState = hardState;
    this.#isAccepted = true;
  }

  /** The driver writes and applies, and `advance` tells this node what the storage threads would answer. */
  #outboxForDriver({ snapshot, committedEntries, mustSync }: Work): Outbox {
    const { id, role, messages, messagesAfterAppend } = this.#state;
    const others = messagesAfterAppend.filter((message) => message.to !== id);
    this.#onAdvance = messagesAfterAppend.filter((message) => message.to === id);
    const answer = this.#storageAnswer(snapshot);
    if (answer !== undefined) this.#onAdvance.push(answer);
    if (committedEntries.length > 0) this.#onAdvance.push(this.#applyAnswer(committedEntries));
    // Only a leader's own term, vote and log are known to be durable enough to speak of before this is written: a
    // candidate's request is about a term that it may forget, and would enter again with another log.
    if (!mustSync || role === Role.leader) return { messages, messagesAfterAppend: others };
    return { messages: noMessages, messagesAfterAppend: [...messages, ...others] };
  }

  /** The storage threads get their work as messages, and with it all that is to be sent when it is done. */
  #outboxWithThreads({ hardState, entries, snapshot, committedEntries }: Work): Outbox {
    const { id: from, messages, messagesAfterAppend } = this.#state;
    const all = [...messages];
    const answer = this.#storageAnswer(snapshot);
    const responses = answer === undefined ? messagesAfterAppend : [...messagesAfterAppend, answer];
    const isWrite = entries.length > 0 || hardState !== undefined || snapshot !== undefined;
    if (isWrite || messagesAfterAppend.length > 0) {
      const write = { from, entries, ...hardState, snapshot, responses };
      all.push(makeMessage(MessageType.storageAppend, localAppendThread, write));
    }
    if (committedEntries.length > 0) {
      const apply = { from, entries: committedEntries, responses: [this.#applyAnswer(committedEntries)] };
      all.push(makeMessage(MessageType.storageApply, localApplyThread, apply));
    }
    return { messages: all, messagesAfterAppend: noMessages };
  }

  /** All of the last `Ready` is done: written, sent, applied. With asynchronous storage, responses say so instead. */
  advance(): void {
    assert(!this.#isAsync, 'with asynchronous storage, step the responses instead of calling advance()');
    assert(this.#isAccepted, 'advance() was called without a ready() before it');
    const messages = this.#onAdvance;
    this.#onAdvance = [];
    this.#isAccepted = false;
    for (const message of messages) step(this.#state, message);
  }

  basicStatus(): BasicStatus {
    const { id, leader, role, hardState, log, leadTransferee } = this.#state;
    return { id, leader, role, ...hardState, applied: log.applied, lastIndex: log.lastIndex, leadTransferee };
  }

  status(): Status {
    const { tracker, role } = this.#state;
    const members = role === Role.leader ? tracker.members : [];
    const peers = members.map((member): PeerStatus => {
      const { id, matchIndex, nextIndex, isLearner, isPaused, pendingSnapshot, recentActive, inflights } = member;
      const { isSilent, hasRoom } = member;
      const state = stateNames[member.state];
      const { count: inflight, isFull: isInflightFull } = inflights;
      return {
        id,
        state,
        matchIndex,
        nextIndex,
        isLearner,
        isPaused,
        pendingSnapshot,
        recentActive,
        isSilent,
        hasRoom: id === this.#state.id ? !this.#state.isFull : hasRoom,
        inflight,
        isInflightFull,
      };
    });
    return { ...this.basicStatus(), confState: tracker.configuration, peers };
  }

  #isSoftStateNew(): boolean {
    return this.#state.leader !== this.#softState.leader || this.#state.role !== this.#softState.role;
  }

  #isHardStateNew(): boolean {
    const { term, vote, log } = this.#state;
    const known = this.#hardState;
    return term !== known.term || vote !== known.vote || log.committed !== known.commit;
  }

  /**
   * What the storage answers when this write is done: that everything to the log's present end is on disk, because
   * writes are done in order. It carries the present term, and is void in a later one: entries may have been replaced
   * by others at the same places whose write is still to come, and must not be taken for written (an ABA problem).
   */
  #storageAnswer(snapshot: Ready['snapshot']): Message | undefined {
    const { log, id: to, term } = this.#state;
    const hasUnstable = log.unstable.length > 0;
    if (!hasUnstable && snapshot === undefined) return undefined;
    return makeMessage(MessageType.storageAppendResponse, to, {
      from: localAppendThread,
      term,
      index: hasUnstable ? log.lastIndex : 0,
      logTerm: hasUnstable ? log.lastTerm : 0,
      snapshot,
    });
  }

  /** What the state machine answers when these entries are applied. */
  #applyAnswer(entries: readonly Entry[]): Message {
    return makeMessage(MessageType.storageApplyResponse, this.id, { from: localApplyThread, entries });
  }
}
