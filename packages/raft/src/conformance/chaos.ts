import { assert, fromUtf8, SeededRandom, utf8 } from '@dcache/base';
import { type ConfChangeSingle, ConfChangeType, Transition } from '../core/conf-change.js';
import {
  type ConfState,
  type Entry,
  EntryType,
  type HardState,
  isLocalThread,
  localAppendThread,
  type Message,
  type NodeId,
  Role,
  type Snapshot,
} from '../core/message.js';
import { RawNode } from '../core/raw-node.js';
import type { Ready } from '../core/ready.js';
import { MemoryLog } from './memory-log.js';

/** A core, its disk, and what is between the two. */
interface Machine {
  readonly id: NodeId;
  node: RawNode;
  log: MemoryLog;
  /** What a crash leaves of the hard state: commit indexes need not be on disk. */
  synced: HardState;
  /** Text of each applied entry, by index, since the snapshot that the machine started from. */
  state: string[];
  /** A `Ready` whose write is under way. */
  writing: Ready | undefined;
  /** Work of the storage threads. */
  readonly threads: Message[];
  appliedTo: number;
  /** The members as of `appliedTo`. */
  members: ConfState;
  isUp: boolean;
}

interface Read {
  readonly node: NodeId;
  /** The highest index that anybody had applied when the read was asked. */
  readonly atLeast: number;
}

export interface ChaosOptions {
  readonly seed: number;
  readonly steps: number;
  readonly asyncStorage: boolean;
  readonly preVote: boolean;
  readonly checkQuorum: boolean;
}

/**
 * Five cores in a world where messages are lost, repeated and overtake each other, writes take their time, machines
 * crash and lose what was not on disk, logs are compacted and members change: all by one seed. It watches that
 *
 * - no term has two leaders (Raft §5.2, election safety),
 * - whatever is applied at an index is the same everywhere, for ever (§5.4.3, state machine safety),
 * - logs that share an entry share all before it (§5.3, log matching),
 * - a read's index covers everything that was applied anywhere before it was asked (thesis §6.4),
 *
 * and in the end, when all is calm, that the cluster takes proposals again.
 */
export class Chaos {
  readonly #random: SeededRandom;
  readonly #options: ChaosOptions;
  readonly #machines: Machine[] = [];
  #inFlight: Message[] = [];
  readonly #leaders: Map<number, NodeId> = new Map();
  readonly #applied: Map<number, string> = new Map();
  #highest = 0;
  readonly #reads: Map<number, Read> = new Map();
  #nextContext = 1;
  #proposals = 0;
  /** Calm: nothing is lost, nobody crashes. */
  #isCalm = false;
  /** Nodes that cannot be reached. */
  #cut: ReadonlySet<NodeId> = new Set();
  /** Reads that were confirmed, crashes: whether the world was as wild as intended. */
  readonly counts: { reads: number; crashes: number; changes: number; snapshots: number; applied: number } = {
    reads: 0,
    crashes: 0,
    changes: 0,
    snapshots: 0,
    applied: 0,
  };

  constructor(options: ChaosOptions) {
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
    const confState = { voters: [1, 2, 3], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false };
    for (let id = 1; id <= 5; id++) {
      const log = new MemoryLog();
      log.applySnapshot({ metadata: { index: 1, term: 1, confState }, data: utf8('[]') });
      log.hardState = { term: 1, vote: 0, commit: 1 };
      this.#machines.push(this.#boot(id, log));
    }
  }

  #boot(id: NodeId, log: MemoryLog): Machine {
    const { asyncStorage: asyncStorageWrites, preVote, checkQuorum } = this.#options;
    const node = new RawNode({
      id,
      storage: log,
      random: new SeededRandom(this.#random.below(2 ** 31)),
      electionTicks: 5,
      asyncStorageWrites,
      preVote,
      checkQuorum,
      maxSizePerMessage: 40,
      maxCommittedSizePerReady: 60,
      maxInflightMessages: 4,
    });
    const machine: Machine = {
      id,
      node,
      log,
      synced: log.hardState,
      state: JSON.parse(fromUtf8(log.base.data)),
      writing: undefined,
      threads: [],
      appliedTo: log.base.metadata.index,
      members: log.base.metadata.confState,
      isUp: true,
    };
    log.snapshotSource = () => this.#snapshotOf(machine);
    return machine;
  }

  #snapshotOf({ log, state, appliedTo: index, members: confState }: Machine): Snapshot | undefined {
    const term = log.term(index);
    if (term === undefined) return undefined;
    return { metadata: { index, term, confState }, data: utf8(JSON.stringify(state)) };
  }

  /** Runs all steps, then calms the world and waits for agreement. Throws when a promise is broken. */
  run(): void {
    for (let i = 0; i < this.#options.steps; i++) this.#step();
    this.#calm();
  }

  #step(): void {
    const random = this.#random;
    const machine = this.#machines[random.below(5)]!;
    const dice = random.below(1000);
    if (dice < 480) this.#deliver();
    else if (dice < 770) this.#work(machine);
    else if (dice < 850) this.#tick(machine);
    else if (dice < 920) this.#propose(machine);
    else if (dice < 945) this.#read(machine);
    else if (dice < 960) this.#change(machine);
    else if (dice < 975) this.#compact(machine);
    else if (dice < 979) this.#cut = new Set([1, 2, 3, 4, 5].filter(() => random.below(4) === 0));
    else if (dice < 986) this.#cut = new Set();
    else if (dice < 989) this.#crash(machine);
    else if (dice < 991 && machine.isUp) machine.node.campaign();
    else if (dice < 994 && machine.isUp) machine.node.transferLeader(1 + random.below(5));
    else if (dice < 996 && machine.isUp) machine.node.reportUnreachable(1 + random.below(5));
    else if (machine.isUp) machine.node.reportSnapshot(1 + random.below(5), random.below(2) === 0);
    this.#watch(machine);
  }

  #deliver(): void {
    if (this.#inFlight.length === 0) return;
    const at = this.#isCalm ? 0 : this.#random.below(Math.min(this.#inFlight.length, 8));
    const [message] = this.#inFlight.splice(at, 1);
    const machine = this.#machines[message!.to - 1]!;
    if (!this.#isCalm) {
      const fate = this.#random.below(100);
      if (fate < 6 || this.#cut.has(message!.to) || this.#cut.has(message!.from)) return;
      if (fate < 10) this.#inFlight.push(message!);
    }
    if (!machine.isUp) return;
    machine.node.step(message!);
    this.#watch(machine);
  }

  #tick(machine: Machine): void {
    if (machine.isUp) machine.node.tick();
  }

  #propose({ node, isUp }: Machine): void {
    if (isUp) node.propose(utf8(`p${this.#proposals++}`));
  }

  #read({ id, node, isUp }: Machine): void {
    if (!isUp) return;
    const context = this.#nextContext++;
    this.#reads.set(context, { node: id, atLeast: this.#highest });
    node.readIndex(context);
  }

  #change({ node, isUp }: Machine): void {
    if (!isUp || node.role !== Role.leader) return;
    if (node.status().confState.votersOutgoing.length > 0) {
      node.proposeConfChange({ changes: [] });
      return;
    }
    const random = this.#random;
    // Without pre-vote and check-quorum a voter that got ahead in terms and was then made a learner hears no leader.
    const { addNode, addLearner, removeNode } = ConfChangeType;
    const types = [addNode, addNode, this.#options.checkQuorum ? addLearner : addNode, removeNode];
    const changes = Array.from(
      { length: 1 + random.below(3) },
      (): ConfChangeSingle => ({
        type: types[random.below(4)]!,
        nodeId: 1 + random.below(5),
      }),
    );
    const transition = [Transition.auto, Transition.jointImplicit, Transition.jointExplicit][random.below(3)]!;
    node.proposeConfChange({ transition, changes });
  }

  #compact(machine: Machine): void {
    const { log, writing, threads } = machine;
    if (!machine.isUp || writing !== undefined || threads.length > 0) return;
    const snapshot = this.#snapshotOf(machine);
    if (snapshot !== undefined && snapshot.metadata.index >= log.firstIndex()) log.compactTo(snapshot);
  }

  /** Takes a `Ready`, or goes on with one: a write ends some time after it began. */
  #work(machine: Machine): void {
    if (!machine.isUp) {
      if (this.#random.below(3) > 0 || this.#isCalm)
        this.#machines[machine.id - 1] = this.#boot(machine.id, machine.log);
      return;
    }
    const message = machine.threads.shift();
    if (message !== undefined) {
      this.#workThread(machine, message);
    } else if (machine.writing !== undefined) {
      this.#finish(machine, machine.writing);
    } else if (machine.node.hasReady()) {
      const ready = machine.node.ready();
      for (const { index, context } of ready.readStates) this.#checkRead(machine, index, context);
      if (this.#options.asyncStorage) {
        for (const sent of ready.messages)
          if (isLocalThread(sent.to)) machine.threads.push(sent);
          else this.#inFlight.push(sent);
      } else {
        this.#inFlight.push(...ready.messages);
        machine.writing = ready;
      }
    }
  }

  #workThread(machine: Machine, message: Message): void {
    const { entries, snapshot, responses, term, vote, commit } = message;
    if (message.to === localAppendThread) {
      this.#write(machine, term > 0 ? { term, vote, commit } : undefined, entries, snapshot, true);
    } else {
      this.#apply(machine, entries);
    }
    for (const response of responses)
      if (response.to === machine.id) machine.node.step(response);
      else this.#inFlight.push(response);
  }

  #finish(machine: Machine, ready: Ready): void {
    machine.writing = undefined;
    this.#write(machine, ready.hardState, ready.entries, ready.snapshot, ready.mustSync);
    this.#inFlight.push(...ready.messagesAfterAppend);
    this.#apply(machine, ready.committedEntries);
    machine.node.advance();
  }

  #write(
    machine: Machine,
    hardState: HardState | undefined,
    entries: readonly Entry[],
    snapshot: Snapshot | undefined,
    isSynced: boolean,
  ): void {
    const { log } = machine;
    if (hardState !== undefined) log.hardState = hardState;
    if (snapshot !== undefined && snapshot.metadata.index > log.base.metadata.index) {
      this.counts.snapshots++;
      log.applySnapshot(snapshot);
      machine.state = JSON.parse(fromUtf8(snapshot.data));
      machine.appliedTo = snapshot.metadata.index;
      machine.members = snapshot.metadata.confState;
    }
    log.append(entries);
    if (isSynced || snapshot !== undefined) machine.synced = log.hardState;
  }

  #apply(machine: Machine, entries: readonly Entry[]): void {
    for (const entry of entries) {
      const { index, term, type, data } = entry;
      assert(index === machine.appliedTo + 1, `node ${machine.id} applied ${index} after ${machine.appliedTo}`);
      machine.appliedTo = index;
      const text = `${term}:${type}:${fromUtf8(data)}`;
      const known = this.#applied.get(index);
      assert(known === undefined || known === text, `entry ${index} is ${text} at ${machine.id} and was ${known}`);
      this.#applied.set(index, text);
      this.#highest = Math.max(this.#highest, index);
      this.counts.applied++;
      if (type !== EntryType.normal) {
        machine.members = machine.node.applyConfEntry(entry);
        this.counts.changes++;
      } else if (data.length > 0) machine.state.push(fromUtf8(data));
    }
  }

  #checkRead({ id }: Machine, index: number, context: number): void {
    const read = this.#reads.get(context);
    assert(read !== undefined && read.node === id, `node ${id} was answered a read ${context} that it did not ask`);
    assert(index >= read.atLeast, `a read got index ${index} although ${read.atLeast} was applied before it`);
    this.counts.reads++;
  }

  /**
   * Loses what is not on disk. Writes reach it in order: what survives of one, survives of all before it, and a hard
   * state before the entries that it came with.
   */
  #crash(machine: Machine): void {
    if (!machine.isUp) return;
    this.counts.crashes++;
    const { log, writing } = machine;
    const random = this.#random;
    if (writing !== undefined && writing.snapshot === undefined && random.below(2) === 0) {
      machine.synced = writing.hardState ?? log.hardState;
      log.append(writing.entries.slice(0, random.below(writing.entries.length + 1)));
    } else if (random.below(2) === 0) {
      machine.synced = log.hardState;
    }
    const { term, vote } = machine.synced;
    const commit = Math.max(log.base.metadata.index, Math.min(machine.synced.commit, log.lastIndex()));
    log.hardState = { term, vote, commit };
    machine.isUp = false;
  }

  #watch({ id, node, isUp }: Machine): void {
    if (!isUp || node.role !== Role.leader) return;
    const known = this.#leaders.get(node.term);
    assert(known === undefined || known === id, `term ${node.term} has the leaders ${known} and ${id}`);
    this.#leaders.set(node.term, id);
  }

  /** Ends all faults, and expects a new entry to reach every member. */
  #calm(): void {
    this.#isCalm = true;
    this.#cut = new Set();
    for (let round = 0; round < 400; round++) {
      for (const machine of this.#machines) this.#tick(machine);
      this.#rest();
      if (round % 20 === 0) {
        for (const machine of this.#machines) this.#propose(machine);
        this.#reportSnapshots();
      }
      if (round > 60 && this.#isAgreed()) break;
    }
    this.#checkLogs();
    assert(this.#isAgreed(), `the cluster did not come to agreement: ${JSON.stringify(this.#summary())}`);
  }

  /** A transport knows when a snapshot did not arrive, and says so. */
  #reportSnapshots(): void {
    for (const { node } of this.#machines)
      for (const { id, state } of node.status().peers) if (state === 'snapshot') node.reportSnapshot(id, false);
  }

  #rest(): void {
    for (let i = 0; i < 20_000; i++) {
      let isBusy = false;
      for (const { id } of this.#machines) {
        const machine = this.#machines[id - 1]!;
        if (machine.isUp && machine.threads.length === 0 && machine.writing === undefined && !machine.node.hasReady())
          continue;
        this.#work(machine);
        isBusy = true;
      }
      if (this.#inFlight.length > 0) {
        this.#deliver();
        isBusy = true;
      }
      if (!isBusy) return;
    }
    assert(false, 'the cluster does not come to rest');
  }

  /** The leader's members, those that vote or learn, have applied all that it has. */
  #isAgreed(): boolean {
    const leader = this.#machines.find(({ node }) => node.role === Role.leader && node.status().leader === node.id);
    if (leader === undefined) return false;
    const { confState, term, lastIndex } = leader.node.status();
    const members = memberIds(confState);
    return members.every((id) => {
      const { node, appliedTo } = this.#machines[id - 1]!;
      return node.term === term && appliedTo === lastIndex;
    });
  }

  #checkLogs(): void {
    for (const { log, id } of this.#machines)
      for (const other of this.#machines) {
        let isShared = false;
        const low = Math.max(log.firstIndex(), other.log.firstIndex());
        for (let index = Math.min(log.lastIndex(), other.log.lastIndex()); index >= low; index--) {
          const mine = log.entries(index, index + 1, 1)![0]!;
          const theirs = other.log.entries(index, index + 1, 1)![0]!;
          isShared ||= mine.term === theirs.term;
          const isSame = mine.term === theirs.term && fromUtf8(mine.data) === fromUtf8(theirs.data);
          assert(!isShared || isSame, `the logs of ${id} and ${other.id} share a later entry but not ${index}`);
        }
      }
  }

  #summary(): unknown {
    return this.#machines.map(({ node, appliedTo }) => ({ ...node.status(), appliedTo }));
  }
}

function memberIds({ voters, votersOutgoing, learners }: ConfState): readonly NodeId[] {
  return [...new Set([...voters, ...votersOutgoing, ...learners])];
}
