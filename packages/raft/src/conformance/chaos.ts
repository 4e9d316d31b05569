import { assert, fromUtf8, SeededRandom, utf8 } from '@dcache/base';
import { type ConfChangeSingle, ConfChangeType, Transition } from '../core/conf-change.js';
import { membersOf } from '../core/configuration.js';
import { type Entry, EntryType, type Message, type NodeId, type ReadState, Role } from '../core/message.js';
import { Machine, type MachineEvents, type MachineOptions } from './machine.js';
import { MemoryLog } from './memory-log.js';

export interface ChaosOptions {
  readonly seed: number;
  readonly steps: number;
  readonly asyncStorage: boolean;
  readonly preVote: boolean;
  readonly checkQuorum: boolean;
}

/** How much happened: whether the world was as wild as intended. */
export interface ChaosCounts {
  reads: number;
  crashes: number;
  changes: number;
  snapshots: number;
  applied: number;
}

const ids: readonly NodeId[] = [1, 2, 3, 4, 5];

/**
 * Five cores in a world where messages are lost, repeated and overtake each other, writes take their time, machines
 * crash and lose what was not on disk, disks are said to be full, logs are compacted and members change: all by one seed. It watches that
 *
 * - no term has two leaders (Raft §5.2, election safety),
 * - whatever is applied at an index is the same everywhere, for ever (§5.4.3, state machine safety),
 * - logs that share an entry share all before it (§5.3, log matching),
 * - a read's index covers everything that was applied anywhere before it was asked (thesis §6.4),
 *
 * and in the end, when all is calm, that the cluster takes proposals again, whoever is still said to be full.
 */
export class Chaos implements MachineEvents {
  /** Everything that was sent, in order, as one number. */
  digest = 0;
  readonly counts: ChaosCounts = { reads: 0, crashes: 0, changes: 0, snapshots: 0, applied: 0 };
  readonly #random: SeededRandom;
  readonly #options: ChaosOptions;
  readonly #machines: Machine[] = [];
  readonly #inFlight: Message[] = [];
  /** Who led which term. */
  readonly #leaders: Map<number, NodeId> = new Map();
  /** What was applied at which index. */
  readonly #applied: Map<number, string> = new Map();
  #highestApplied = 0;
  /** By context: who asked, and the highest index that anybody had applied then. */
  readonly #reads: Map<number, { readonly id: NodeId; readonly atLeast: number }> = new Map();
  #nextContext = 1;
  #nextProposal = 0;
  /** Nothing is lost and nobody crashes any more. */
  #isCalm = false;
  /** Nodes that cannot be reached. */
  #cut: ReadonlySet<NodeId> = new Set();

  constructor(options: ChaosOptions) {
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
    const confState = { voters: [1, 2, 3], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false };
    for (const id of ids) {
      const log = new MemoryLog();
      log.applySnapshot({ metadata: { index: 1, term: 1, confState }, data: utf8('[]') });
      log.hardState = { term: 1, vote: 0, commit: 1 };
      this.#machines.push(this.#boot(id, log));
    }
  }

  /** Runs all steps, then calms the world and waits for agreement. Throws when a promise is broken. */
  run(): void {
    for (let i = 0; i < this.#options.steps; i++) this.#step();
    this.#calm();
  }

  send(messages: readonly Message[]): void {
    for (const { type, to, from, term, index, commit, entries } of messages)
      for (const part of [type, to, from, term, index, commit, entries.length])
        this.digest = (Math.imul(this.digest, 31) + part) | 0;
    this.#inFlight.push(...messages);
  }

  onApplied(id: NodeId, { index, term, type, data }: Entry): void {
    const text = `${term}:${type}:${fromUtf8(data)}`;
    const known = this.#applied.get(index);
    assert(known === undefined || known === text, `entry ${index} is ${text} at ${id} and was ${known}`);
    this.#applied.set(index, text);
    this.#highestApplied = Math.max(this.#highestApplied, index);
    this.counts.applied++;
    if (type !== EntryType.normal) this.counts.changes++;
  }

  onRead(id: NodeId, { index, context }: ReadState): void {
    const read = this.#reads.get(context);
    assert(read !== undefined && read.id === id, `node ${id} was answered a read ${context} that it did not ask`);
    assert(index >= read.atLeast, `a read got index ${index} although ${read.atLeast} was applied before it`);
    this.counts.reads++;
  }

  onSnapshot(): void {
    this.counts.snapshots++;
  }

  #boot(id: NodeId, log: MemoryLog): Machine {
    const { asyncStorage: asyncStorageWrites, preVote, checkQuorum } = this.#options;
    const options: MachineOptions = {
      electionTicks: 5,
      asyncStorageWrites,
      preVote,
      checkQuorum,
      maxSizePerMessage: 40,
      maxCommittedSizePerReady: 60,
      maxInflightMessages: 4,
    };
    return new Machine(id, log, options, this.#random.below(2 ** 31), this);
  }

  #step(): void {
    const machine = this.#machines[this.#random.below(ids.length)]!;
    const dice = this.#random.below(1000);
    if (dice < 480) this.#deliver();
    else if (dice < 490) this.#cutOff();
    else if (!machine.isUp) this.#restart(machine);
    else this.#act(machine, dice);
  }

  #act(machine: Machine, dice: number): void {
    const { node } = machine;
    const other = 1 + this.#random.below(ids.length);
    if (dice < 780) machine.work();
    else if (dice < 860) node.tick();
    else if (dice < 925) this.#propose(machine);
    else if (dice < 950) this.#read(machine);
    else if (dice < 965) this.#change(machine);
    else if (dice < 980) machine.compact();
    else if (dice < 983) this.#crash(machine);
    else if (dice < 987) node.campaign();
    else if (dice < 991) node.transferLeader(other);
    else if (dice < 994) node.reportUnreachable(other);
    else if (dice < 996) node.forgetLeader();
    else if (dice < 998) node.reportSnapshot(other, this.#random.below(2) === 0);
    else node.setFull(this.#random.below(2) === 0);
    this.#watch(machine);
  }

  /** Cuts some nodes off, or none. */
  #cutOff(): void {
    const isCut = this.#random.below(3) === 0;
    this.#cut = new Set(ids.filter(() => isCut && this.#random.below(4) === 0));
  }

  #deliver(): void {
    if (this.#inFlight.length === 0) return;
    const at = this.#isCalm ? 0 : this.#random.below(Math.min(this.#inFlight.length, 8));
    const message = this.#inFlight.splice(at, 1)[0]!;
    if (!this.#isCalm) {
      const fate = this.#random.below(100);
      if (fate < 6 || this.#cut.has(message.to) || this.#cut.has(message.from)) return;
      if (fate < 10) this.#inFlight.push(message);
    }
    const machine = this.#machines[message.to - 1]!;
    if (!machine.isUp) return;
    machine.node.step(message);
    this.#watch(machine);
  }

  #propose({ node }: Machine): void {
    node.propose(utf8(`p${this.#nextProposal++}`));
  }

  #read({ id, node }: Machine): void {
    const context = this.#nextContext++;
    this.#reads.set(context, { id, atLeast: this.#highestApplied });
    node.readIndex(context);
  }

  #change({ node }: Machine): void {
    if (node.role !== Role.leader) return;
    if (node.status().confState.votersOutgoing.length > 0) {
      node.proposeConfChange({ changes: [] });
      return;
    }
    const random = this.#random;
    const { addNode, addLearner, removeNode } = ConfChangeType;
    // Without pre-vote and check-quorum a voter that got ahead in terms and was then made a learner hears no leader.
    const types = [addNode, addNode, this.#options.checkQuorum ? addLearner : addNode, removeNode];
    const changes: ConfChangeSingle[] = [];
    for (let i = random.below(3); i >= 0; i--)
      changes.push({ type: types[random.below(types.length)]!, nodeId: 1 + random.below(ids.length) });
    const transition = [Transition.auto, Transition.jointImplicit, Transition.jointExplicit][random.below(3)]!;
    node.proposeConfChange({ transition, changes });
  }

  #crash(machine: Machine): void {
    this.counts.crashes++;
    machine.crash(this.#random);
  }

  #restart({ id, log }: Machine): void {
    if (this.#isCalm || this.#random.below(4) === 0) this.#machines[id - 1] = this.#boot(id, log);
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
    for (const machine of this.#machines) if (!machine.isUp) this.#restart(machine);
    for (let round = 0; round < 400; round++) {
      for (const { node } of this.#machines) node.tick();
      this.#rest();
      if (round % 20 === 0) {
        for (const machine of this.#machines) this.#propose(machine);
        this.#reportSnapshots();
      }
      if (round > 60 && this.#isAgreed()) break;
    }
    this.#checkLogs();
    const states = this.#machines.map(({ node, appliedTo }) => ({ ...node.status(), appliedTo }));
    assert(this.#isAgreed(), `the cluster did not come to agreement: ${JSON.stringify(states)}`);
  }

  /** A transport knows when a snapshot did not arrive, and says so. */
  #reportSnapshots(): void {
    for (const { node } of this.#machines)
      for (const { id, state } of node.status().peers) if (state === 'snapshot') node.reportSnapshot(id, false);
  }

  #rest(): void {
    for (let i = 0; i < 20_000; i++) {
      const busy = this.#machines.filter((machine) => machine.isBusy);
      if (busy.length === 0 && this.#inFlight.length === 0) return;
      for (const machine of busy) machine.work();
      this.#deliver();
    }
    assert(false, 'the cluster does not come to rest');
  }

  /** All members that a leader has are in its term and have applied all that it has. */
  #isAgreed(): boolean {
    const leader = this.#machines.find(({ node }) => node.role === Role.leader);
    if (leader === undefined) return false;
    const { confState, term, lastIndex } = leader.node.status();
    return membersOf(confState).every((id) => {
      const { node, appliedTo } = this.#machines[id - 1]!;
      return node.term === term && appliedTo === lastIndex;
    });
  }

  #checkLogs(): void {
    for (const a of this.#machines) for (const b of this.#machines) checkMatch(a, b);
  }
}

/** Two logs that have an entry in common have all before it in common. (Raft §5.3) */
function checkMatch(a: Machine, b: Machine): void {
  const lowest = Math.max(a.log.firstIndex(), b.log.firstIndex());
  let isShared = false;
  for (let index = Math.min(a.log.lastIndex(), b.log.lastIndex()); index >= lowest; index--) {
    const mine = a.log.entries(index, index + 1, 1)![0]!;
    const theirs = b.log.entries(index, index + 1, 1)![0]!;
    isShared ||= mine.term === theirs.term;
    const isSame = mine.term === theirs.term && fromUtf8(mine.data) === fromUtf8(theirs.data);
    assert(!isShared || isSame, `the logs of ${a.id} and ${b.id} share a later entry but not ${index}`);
  }
}
