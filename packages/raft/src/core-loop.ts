import { coalesce } from './coalesce.js';
import type { LogReader } from './core/log-reader.js';
import {
  EntryType,
  localAppendThread,
  localApplyThread,
  type Message,
  MessageType,
  type NodeId,
  Role,
  type SoftState,
} from './core/message.js';
import { RawNode } from './core/raw-node.js';
import type { Ready } from './core/ready.js';
import { Histogram } from './histogram.js';
import type { ResolvedOptions } from './options.js';

/** What the loop tells, and asks of, whoever runs it. */
export interface CoreLoopHandler {
  /** Before the core is asked what it wants: the last moment to put something into this turn. */
  onTurn(): void;
  onSoftState(soft: SoftState): void;
  /** The read that was asked for with `context` may be served once `index` is applied. */
  onReadState(index: number, context: number): void;
  /** Entries to be applied; `deliver` the message's responses afterwards. */
  onApply(message: Message): void;
  /** A member needs the state. */
  onSnapshotNeeded(to: NodeId): void;
  /** Whether so much waits to be applied that the log should not grow now. */
  isBacklogged(): boolean;
  /** After everything of this turn was handed out. */
  onTurnDone(): void;
  /** The node cannot go on. */
  onFailure(error: unknown): void;
}

/** Counts since the start. */
export interface CoreLoopCounts {
  messagesSent: number;
  messagesReceived: number;
  messagesRefused: number;
  maxTickDelaySeconds: number;
}

/**
 * The core's turns. Whatever comes between two turns of the event loop (proposals, messages, ticks, writes that are
 * done) goes into the core at once; the next turn takes out what the core wants of all that together: one write of the
 * log (group commit) and one batch of messages to each node. Writes of the log and the application of entries go on
 * beside the turns, so heartbeats wait for neither. (Thesis §10.2)
 */
export class CoreLoop {
  readonly core: RawNode;
  readonly counts: CoreLoopCounts = {
    messagesSent: 0,
    messagesReceived: 0,
    messagesRefused: 0,
    maxTickDelaySeconds: 0,
  };
  readonly appendLatency: Histogram = new Histogram();
  readonly #options: ResolvedOptions<unknown>;
  readonly #handler: CoreLoopHandler;
  readonly #electionTimeoutMs: number;
  /** Messages of this turn, by receiver; the arrays are used again. */
  readonly #outbox = new Map<NodeId, Message[]>();
  /** To whom nothing but a commit index has waited since the last turn. */
  readonly #waiting = new Set<NodeId>();
  /** Whether a change of members was committed in this turn. */
  #hasCommittedChange = false;
  /** The highest acknowledgement of appends so far: to whom, in which term. */
  #acknowledged: Pick<Message, 'to' | 'term' | 'index'> = { to: 0, term: 0, index: 0 };
  /** An acknowledgement that says no more than an earlier one. */
  #repeated: Message | undefined;
  /** No vote is given before this moment: see `#isVoteWithheld`. */
  readonly #votesFromMs: number;
  #isScheduled = false;
  #isStopped = false;
  #commitIndex: number;
  #lastTickMs: number;
  /** Writes of the log that are under way, and since when the oldest of them may be. */
  #writes = 0;
  #writingSinceMs = Number.POSITIVE_INFINITY;

  /** `applied` is what the state machine has; `log` is what the core reads. */
  constructor(options: ResolvedOptions<unknown>, log: LogReader, applied: number, handler: CoreLoopHandler) {
    this.#options = options;
    this.#handler = handler;
    this.#electionTimeoutMs = options.electionTicks * options.tickMs;
    const nowMs = options.clock.monotonicMs();
    this.#lastTickMs = nowMs;
    // A node that is back may have promised a leader not to vote for others; it does not know any more until when. One
    // that has just founded its cluster, or is new, has promised nothing.
    const isBack = log.initialState().hardState.term > 1;
    this.#votesFromMs = isBack ? nowMs + this.#electionTimeoutMs : Number.NEGATIVE_INFINITY;
    this.core = makeCore(options, log, applied);
    this.#commitIndex = this.core.basicStatus().commit;
  }

  /** The commit index as of the last turn: everything acknowledged by this node is at or below it. */
  get commitIndex(): number {
    return this.#commitIndex;
  }

  /** How long the oldest write of the log has been under way, in milliseconds; 0 when none is. */
  get writingForMs(): number {
    return Math.max(0, this.#options.clock.monotonicMs() - this.#writingSinceMs);
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** Runs the work of an event and has a turn follow; what it throws is a failure. */
  run(work: () => void): void {
    if (this.#isStopped) return;
    try {
      work();
      this.schedule();
    } catch (error) {
      this.#handler.onFailure(error);
    }
  }

  /** Has a turn follow, after the events that wait already. */
  schedule(): void {
    if (this.#isScheduled || this.#isStopped) return;
    this.#isScheduled = true;
    this.#options.defer(() => {
      this.#isScheduled = false;
      if (this.#isStopped) return;
      try {
        this.#turn();
      } catch (error) {
        this.#handler.onFailure(error);
      }
    });
  }

  /** Messages from a node whose identity the transport has proved. */
  receive(from: NodeId, messages: readonly Message[]): void {
    const isBacklogged = this.#handler.isBacklogged();
    for (const message of messages) {
      // Raft sends again what was lost, and less of it at a time to a node that loses much.
      if (isBacklogged && message.type === MessageType.append && message.entries.length > 0) {
        this.counts.messagesRefused++;
        continue;
      }
      // What is said must not speak for, or to, another; and a snapshot comes with its state, in pieces, or not at all.
      const isStray = message.from !== from || message.to !== this.core.id || message.type === MessageType.snapshot;
      if (isStray || this.#isVoteWithheld(message)) {
        this.counts.messagesRefused++;
        continue;
      }
      this.counts.messagesReceived++;
      this.core.step(message);
    }
  }

  /** Answers of a storage thread: to this node's core, or to others. */
  deliver(responses: readonly Message[]): void {
    for (const response of coalesce(responses, this.#options.maxMessageBytes)) {
      if (response.to === this.core.id) this.core.step(response);
      else this.#post(response);
    }
  }

  tick(): void {
    const { core } = this;
    const { clock, tickMs, electionTicks } = this.#options;
    const nowMs = clock.monotonicMs();
    const passedMs = nowMs - this.#lastTickMs;
    this.#lastTickMs = nowMs;
    this.counts.maxTickDelaySeconds = Math.max(this.counts.maxTickDelaySeconds, (passedMs - tickMs) / 1000);
    this.#postRepeated(true);
    core.tick();
    // A leader that was stopped for an election timeout has been replaced by now, or will be. Its own count of ticks does
    // not know that: let it check its quorum twice, which nobody has answered in between, so that it steps down. A
    // follower's ticks are never made up for: it would disturb a leader that it only has to read from.
    if (passedMs > this.#electionTimeoutMs)
      for (let i = 0; i < 2 * electionTicks && core.role === Role.leader; i++) core.tick();
  }

  #turn(): void {
    this.#handler.onTurn();
    this.#hasCommittedChange = false;
    while (this.core.hasReady()) this.#handle(this.core.ready());
    this.#sendOutbox();
    this.#handler.onTurnDone();
    if (this.core.hasReady()) this.schedule();
  }

  #handle(ready: Ready): void {
    if (ready.hardState !== undefined) this.#commitIndex = ready.hardState.commit;
    if (ready.softState !== undefined) this.#handler.onSoftState(ready.softState);
    for (const { index, context } of ready.readStates) this.#handler.onReadState(index, context);
    const heldVotes: Message[] = [];
    let write: Message | undefined;
    for (const message of ready.messages) {
      if (message.to === localAppendThread) write = message;
      else if (message.to === localApplyThread) this.#onApply(message);
      else if (message.type === MessageType.snapshot) this.#handler.onSnapshotNeeded(message.to);
      else if (message.type === MessageType.vote) heldVotes.push(message);
      else this.#post(message);
    }
    if (write !== undefined) this.#write(write, heldVotes);
    else for (const message of heldVotes) this.#post(message);
  }

  #onApply(message: Message): void {
    this.#hasCommittedChange ||= message.entries.some(({ type }) => type !== EntryType.normal);
    this.#handler.onApply(message);
  }

  /**
   * Writes to the log and lets the answers that rest on it leave when it is durable. A candidate's requests wait for it
   * too: they speak of a term and a log that a crash might take back, and an answer could then elect another log.
   */
  #write(message: Message, heldVotes: readonly Message[]): void {
    const { storage, clock } = this.#options;
    const { entries, snapshot, responses, term, vote, commit } = message;
    const hardState = term === 0 ? undefined : { term, vote, commit };
    const startMs = clock.monotonicMs();
    const done = (): void => {
      if (entries.length > 0) this.appendLatency.observe((clock.monotonicMs() - startMs) / 1000);
      this.deliver(responses);
      for (const held of heldVotes) this.#post(held);
    };
    const written =
      snapshot === undefined ? storage.append(entries, hardState) : storage.applySnapshot(snapshot.metadata, hardState);
    // In memory the acknowledgement leaves with this turn, and not with the next.
    if (written === undefined) return done();
    if (this.#writes++ === 0) this.#writingSinceMs = startMs;
    written.then(
      () =>
        this.run(() => {
          // Writes are done in order, so the next of them has waited since no later than now.
          this.#writingSinceMs = --this.#writes === 0 ? Number.POSITIVE_INFINITY : clock.monotonicMs();
          done();
        }),
      (error: unknown) => this.#handler.onFailure(error),
    );
  }

  #post(message: Message): void {
    if (message.type === MessageType.appendResponse && !message.reject && this.#isRepeated(message)) {
      this.#repeated = message;
      return;
    }
    const messages = this.#outbox.get(message.to);
    if (messages === undefined) this.#outbox.set(message.to, [message]);
    else messages.push(message);
  }

  /**
   * Whether an acknowledgement tells the leader nothing new, as that of an append which only brings a commit index. It
   * need not wake anybody: it goes with what is sent to the leader next, or at the next tick, for the case that the
   * earlier one was lost. A third of all messages are such where writes come one at a time.
   */
  #isRepeated({ to, term, index }: Message): boolean {
    const last = this.#acknowledged;
    if (to === last.to && term === last.term && index <= last.index) return true;
    this.#acknowledged = { to, term, index };
    this.#repeated = undefined;
    return false;
  }

  /** Puts the acknowledgement that was held back to what goes to the same node, if anything does or `isDue`. */
  #postRepeated(isDue: boolean): void {
    const message = this.#repeated;
    if (message === undefined) return;
    const messages = this.#outbox.get(message.to) ?? [];
    if (messages.length === 0 && !isDue) return;
    messages.push(message);
    this.#outbox.set(message.to, messages);
    this.#repeated = undefined;
  }

  /**
   * Whether an append that only brings a commit index waits for the next turn, where it goes with the entries that the
   * replies of this turn give rise to: a receiver is woken once instead of twice. A change of members is told at once: the
   * node that was removed may be gone with the next turn, and what remains of two cannot commit it alone.
   */
  #mayWait({ type, to, entries }: Message): boolean {
    return type === MessageType.append && entries.length === 0 && !this.#hasCommittedChange && !this.#waiting.has(to);
  }

  #sendOutbox(): void {
    this.#postRepeated(false);
    for (const [to, messages] of this.#outbox) {
      if (messages.length === 0) continue;
      const fewer = coalesce(messages, this.#options.maxMessageBytes);
      if (fewer.length === 1 && this.#mayWait(fewer[0]!)) {
        messages.splice(0, messages.length, fewer[0]!);
        this.#waiting.add(to);
        this.schedule();
        continue;
      }
      this.#waiting.delete(to);
      this.counts.messagesSent += fewer.length;
      this.#options.transport.send(to, fewer);
      messages.length = 0;
    }
  }

  /**
   * A lease rests on its followers granting nobody a vote for an election timeout. One that restarted has forgotten
   * since when, so it waits a whole one; it could not win an election of its own any sooner.
   */
  #isVoteWithheld(message: Message): boolean {
    if (message.type !== MessageType.vote && message.type !== MessageType.preVote) return false;
    return this.#options.clock.monotonicMs() < this.#votesFromMs;
  }
}

function makeCore(options: ResolvedOptions<unknown>, storage: LogReader, applied: number): RawNode {
  return new RawNode({
    id: options.id,
    storage,
    random: options.random,
    applied,
    electionTicks: options.electionTicks,
    heartbeatTicks: options.heartbeatTicks,
    preVote: true,
    checkQuorum: true,
    readOnly: 'safe',
    maxPendingReads: options.maxPendingReads,
    maxSizePerMessage: options.maxMessageBytes,
    maxCommittedSizePerReady: options.maxApplyingBytes,
    maxUncommittedSize: options.maxUncommittedBytes,
    maxInflightMessages: options.maxInflightMessages,
    maxInflightBytes: Math.max(options.maxInflightBytes, options.maxMessageBytes),
    asyncStorageWrites: true,
    disableProposalForwarding: true,
    stepDownOnRemoval: true,
  });
}
