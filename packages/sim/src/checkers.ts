/**
 * What must always hold, watched while it happens. An observer that sees all nodes at once can check the properties of
 * the paper directly (Raft figure 3), and what the algorithm rests on (figure 2), so that a fault is found where it is
 * made and not only where a client notices.
 */
import {
  type BasicStatus,
  type Entry,
  type Message,
  MessageType,
  type NodeId,
  type Ready,
  Role,
  type Status,
} from '@dcache/raft';
import type { LogDisk } from './disk.js';
import type { RegisterMachine } from './state-machine.js';

/** Which property a run broke. */
export type Check =
  | 'election-safety'
  | 'leader-append-only'
  | 'log-matching'
  | 'leader-completeness'
  | 'state-machine-safety'
  | 'one-vote-a-term'
  | 'durable-before-answer'
  | 'committed-on-a-quorum'
  | 'order-of-indexes'
  | 'linearizability'
  | 'liveness'
  | 'exception';

export class Violation extends Error {
  override readonly name = 'Violation';
  readonly check: Check;

  constructor(check: Check, message: string) {
    super(message);
    this.check = check;
  }
}

/** What the checkers look at in a node. */
export interface Watched {
  readonly id: NodeId;
  readonly disk: LogDisk;
  status(): Status | undefined;
}

interface CheckerOptions {
  /** Every node there ever was, up, down or removed: a leader may have counted on its disk. */
  readonly nodes: () => readonly Watched[];
  /** Checks left out, for a mutation that is to be found by its consequences. */
  readonly without: ReadonlySet<Check>;
}

interface KnownEntry {
  readonly previousTerm: number;
  readonly content: number;
}

interface CommittedEntry {
  readonly term: number;
  readonly content: number;
  /** A leader elected in a later term has the entry. */
  readonly knownInTerm: number;
}

export class Checkers {
  readonly #options: CheckerOptions;
  readonly #leaders = new Map<number, NodeId>();
  readonly #votes = new Map<string, NodeId>();
  /** By index, then term. */
  readonly #entries: Map<number, KnownEntry>[] = [];
  readonly #committed: CommittedEntry[] = [];
  /** Hash of the state after each index. */
  readonly #states: number[] = [];
  readonly #statuses = new Map<NodeId, BasicStatus>();
  #committedIndex = 0;

  constructor(options: CheckerOptions) {
    this.#options = options;
  }

  /** The highest index that any node was told is committed. */
  get committedIndex(): number {
    return this.#committedIndex;
  }

  /** Leaders seen, one a term. */
  get elections(): number {
    return this.#leaders.size;
  }

  started(id: NodeId, status: BasicStatus): void {
    this.#statuses.set(id, status);
  }

  stopped(id: NodeId): void {
    this.#statuses.delete(id);
  }

  /**
   * Invariants of one node: applied <= committed <= last; term and commit never fall; one leader a term. Called after
   * whatever can change them, so that what a leader commits is held against the configuration that it had then.
   */
  observed(node: Watched, status: BasicStatus): void {
    const { id } = node;
    const { applied, commit, lastIndex, term, role } = status;
    if (applied > commit || commit > lastIndex)
      this.#fail('order-of-indexes', `node ${id}: applied ${applied}, committed ${commit}, last ${lastIndex}`);
    const before = this.#statuses.get(id);
    if (before !== undefined && (term < before.term || commit < before.commit))
      this.#fail(
        'order-of-indexes',
        `node ${id}: term ${before.term} -> ${term}, commit ${before.commit} -> ${commit}`,
      );
    this.#statuses.set(id, status);
    if (role !== Role.leader) return;
    const leader = this.#leaders.get(term);
    if (leader === undefined) this.#leaders.set(term, id);
    else if (leader !== id) this.#fail('election-safety', `nodes ${leader} and ${id} both lead term ${term}`);
    if (before !== undefined && commit > before.commit) this.#checkQuorum(node, commit, term);
  }

  /** Committed entries, as the core hands them out. */
  handedOut(node: Watched, ready: Ready): void {
    const status = this.#statuses.get(node.id);
    for (const entry of ready.committedEntries) this.#commit(node, entry, status);
  }

  #commit(node: Watched, entry: Entry, status: BasicStatus | undefined): void {
    const { index, term } = entry;
    const content = contentOf(entry);
    const known = this.#committed[index];
    if (known === undefined) {
      this.#committed[index] = { term, content, knownInTerm: status?.term ?? term };
      this.#committedIndex = Math.max(this.#committedIndex, index);
    } else if (known.term !== term || known.content !== content) {
      this.#fail(
        'state-machine-safety',
        `node ${node.id} committed entry ${index} of term ${term}; term ${known.term} was`,
      );
    }
  }

  /** What a leader commits is of its term, and durable on a majority of each half of its configuration. */
  #checkQuorum(node: Watched, index: number, term: number): void {
    const { voters, votersOutgoing } = node.status()!.confState;
    const disks = new Map(this.#options.nodes().map(({ id, disk }) => [id, disk]));
    for (const half of [voters, votersOutgoing]) {
      if (half.length === 0) continue;
      const holders = half.filter((id) => disks.get(id)?.hasDurable(index, term));
      if (2 * holders.length <= half.length)
        this.#fail(
          'committed-on-a-quorum',
          `leader ${node.id} committed entry ${index} in term ${term}, which of ${half} only ${holders} have on disk`,
        );
    }
  }

  /** Entries are about to be written: log matching, leader append-only, leader completeness. */
  writing(node: Watched, entries: readonly Entry[], isLeader: boolean): void {
    const { disk, id } = node;
    const status = this.#statuses.get(id);
    const [first] = entries;
    if (first === undefined) return;
    if (isLeader && status?.role === Role.leader && first.index <= disk.lastIndex())
      this.#fail('leader-append-only', `leader ${id} of term ${status.term} replaces its entry ${first.index}`);
    let previousTerm = disk.term(first.index - 1);
    for (const entry of entries) {
      if (previousTerm !== undefined) this.#match(id, entry, previousTerm);
      previousTerm = entry.term;
    }
    for (const entry of entries)
      if (this.#leaders.get(entry.term) === id && disk.lastIndex() < entry.index && isLeader)
        if (disk.term(entry.index - 1) !== entry.term) this.#checkComplete(node, entry);
  }

  /** Two entries with the same index and term are the same, and so are those before them. */
  #match(id: NodeId, entry: Entry, previousTerm: number): void {
    const { index, term } = entry;
    const content = contentOf(entry);
    let terms = this.#entries[index];
    if (terms === undefined) {
      terms = new Map();
      this.#entries[index] = terms;
    }
    const known = terms.get(term);
    if (known === undefined) terms.set(term, { previousTerm, content });
    else if (known.previousTerm !== previousTerm || known.content !== content)
      this.#fail('log-matching', `node ${id} has another entry ${index} of term ${term} than an earlier node had`);
  }

  /** The log of a new leader, as it writes its first entry, has all that was committed in earlier terms. */
  #checkComplete({ id, disk }: Watched, { index: end, term }: Entry): void {
    for (let index = disk.firstIndex(); index <= this.#committedIndex; index++) {
      const committed = this.#committed[index];
      if (committed === undefined || committed.knownInTerm >= term) continue;
      if (index >= end || disk.term(index) !== committed.term)
        this.#fail(
          'leader-completeness',
          `leader ${id} of term ${term} lacks entry ${index} of term ${committed.term}, committed by term ${committed.knownInTerm}`,
        );
    }
  }

  /** What a message promises is durable, and no node votes for two in one term. */
  sent(node: Watched, message: Message): void {
    const { id, disk } = node;
    const { type, to, term, index } = message;
    const durable = disk.durableHardState;
    if (type === MessageType.voteResponse && !message.reject) {
      this.#vote(id, term, to);
      if (durable.term < term || (durable.term === term && durable.vote !== to))
        this.#fail('durable-before-answer', `node ${id} grants ${to} its vote in term ${term} before that is on disk`);
    } else if (type === MessageType.vote) {
      this.#vote(id, term, id);
      if (durable.term < term)
        this.#fail('durable-before-answer', `node ${id} asks for votes in term ${term} before that is on disk`);
    } else if (type === MessageType.appendResponse && !message.reject && index > disk.durableLastIndex) {
      // An acknowledgement of an earlier term may outlive its entries: they were there when that term's leader asked,
      // and a later leader, which has replaced them since, cannot have been elected if they were needed for a quorum.
      if (term < durable.term) return;
      this.#fail(
        'durable-before-answer',
        `node ${id} acknowledges entry ${index}, on disk is ${disk.durableLastIndex}`,
      );
    }
  }

  #vote(id: NodeId, term: number, candidate: NodeId): void {
    const key = `${id}.${term}`;
    const known = this.#votes.get(key);
    if (known === undefined) this.#votes.set(key, candidate);
    else if (known !== candidate)
      this.#fail('one-vote-a-term', `node ${id} votes for ${known} and for ${candidate} in term ${term}`);
  }

  /** Every index is applied in turn. */
  applying(id: NodeId, applied: number, entry: Entry): void {
    if (entry.index !== applied + 1)
      this.#fail('state-machine-safety', `node ${id} applies entry ${entry.index} after entry ${applied}`);
  }

  /** The state after an index is the same on all nodes. */
  applied(id: NodeId, machine: RegisterMachine): void {
    const { applied: index, hash } = machine;
    const known = this.#states[index];
    if (known === undefined) this.#states[index] = hash;
    else if (known !== hash) this.#fail('state-machine-safety', `node ${id} has another state at index ${index}`);
  }

  #fail(check: Check, message: string): void {
    if (!this.#options.without.has(check)) throw new Violation(check, message);
  }
}

function contentOf(entry: Entry): number {
  let hash = entry.type + 1;
  for (const byte of entry.data) hash = Math.imul(hash ^ byte, 0x9e3779b1);
  return hash;
}
