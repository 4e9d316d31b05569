import { concatBytes, SeededRandom } from '@dcache/base';
import {
  DiskStorage,
  EntryType,
  MemoryStorage,
  type NodeId,
  RaftError,
  RaftNode,
  SimulatedDisk,
  type StateMachine,
} from '@dcache/raft';
import { Violation } from '../checkers.js';
import type { Scheduler } from '../scheduler.js';
import { type Outcome, RegisterMachine } from '../state-machine.js';
import type { Connections } from './connections.js';
import { VirtualProcess } from './process.js';
import { slowFileSystem } from './slow-disk.js';

const tickMs = 10;
const electionTicks = 10;

/** What a member needs of the run. */
export interface MemberWorld {
  readonly scheduler: Scheduler;
  readonly connections: Connections;
  readonly isDurable: boolean;
  readonly isDiskLying: boolean;
  /** How fast the clocks of a new process run. */
  clockRate(): number;
  syncMs(): number;
  note(text: string): void;
  /** A node begins to lead. */
  elected(id: NodeId): void;
  /** A machine has applied an entry, or restored a snapshot. */
  applied(id: NodeId, machine: RegisterMachine): void;
  /** The process ended because its disk failed, as it must. */
  ended(member: Member): void;
  /** Something is wrong that no fault of this run explains. */
  fail(violation: Violation): void;
}

/** The state is cut into pieces this small, so that a snapshot has many. */
const pieceBytes = 100;

/** A node of the cluster: its disk, and the process that is or is not running on it. */
export class Member {
  readonly id: NodeId;
  readonly #world: MemberWorld;
  readonly #disk: SimulatedDisk;
  #process: VirtualProcess | undefined;
  #node: RaftNode<Outcome | undefined> | undefined;
  #machine = new RegisterMachine();
  /** Syncs that are to fail and have not yet. */
  #failures = 0;

  constructor(id: NodeId, world: MemberWorld) {
    this.id = id;
    this.#world = world;
    this.#disk = new SimulatedDisk({ random: new SeededRandom(world.scheduler.below(2 ** 31)) });
  }

  /** Undefined while no process runs or it is still starting. */
  get node(): RaftNode<Outcome | undefined> | undefined {
    return this.#node;
  }

  get process(): VirtualProcess | undefined {
    return this.#process;
  }

  get machine(): RegisterMachine {
    return this.#machine;
  }

  get isUp(): boolean {
    return this.#process !== undefined;
  }

  /** A process starts on what the disk has. */
  start(isFounder: boolean): void {
    const { scheduler, clockRate, note, fail } = this.#world;
    const process = new VirtualProcess(scheduler, clockRate(), scheduler.between(-1000, 1000));
    this.#process = process;
    this.#machine = new RegisterMachine();
    note(`start ${this.id}`);
    this.#open(process, isFounder).catch((error: unknown) => {
      if (!process.isEnded && !this.#mayEnd())
        fail(new Violation('exception', `node ${this.id} does not start: ${String(error)}`));
    });
  }

  /** The next sync fails: the process must end, and never take what was not synced for durable. (Pitfall 4) */
  failSync(): void {
    this.#failures++;
    this.#disk.failNextSync();
  }

  /** Leaves the disk this much more room, or as much as it wants. */
  setRoom(bytes: number | undefined): void {
    this.#disk.capacityBytes = bytes === undefined ? Number.POSITIVE_INFINITY : this.#disk.usedBytes + bytes;
  }

  /** Whether a failing disk explains that the process ends; it is over then. A full one does not. */
  #mayEnd(): boolean {
    if (this.#failures === 0) return false;
    this.#failures--;
    this.#world.note(`node ${this.id} ends: its disk failed`);
    this.crash();
    this.#world.ended(this);
    return true;
  }

  /** The power of its machine is cut. */
  crash(): void {
    if (this.#process === undefined) return;
    this.#world.note(`crash ${this.id}`);
    this.#disk.crash();
    const process = this.#process;
    this.#process = undefined;
    this.#node = undefined;
    process.end();
  }

  async #open(process: VirtualProcess, isFounder: boolean): Promise<void> {
    const { scheduler, isDurable, isDiskLying, connections, syncMs, note, fail } = this.#world;
    const random = new SeededRandom(scheduler.below(2 ** 31));
    const { clock } = process;
    const files = slowFileSystem(this.#disk.mount(), scheduler, process, syncMs, isDiskLying);
    const storage = isDurable
      ? await DiskStorage.open({
          directory: 'log',
          nodeId: this.id,
          segmentBytes: 65_536,
          cacheBytes: 1_000,
          fileSystem: files,
          clock,
          random,
        })
      : new MemoryStorage();
    const node = new RaftNode<Outcome | undefined>({
      id: this.id,
      storage,
      transport: connections.transport(this.id, process),
      stateMachine: this.#stateMachine(this.#machine),
      ...(isFounder ? { bootstrap: {} } : {}),
      clock,
      random,
      defer: (run) => process.defer(run),
      tickMs,
      electionTicks,
      proposalTimeoutMs: 800,
      readTimeoutMs: 400,
      trailingEntries: 15,
      snapshotEntries: 40,
      snapshotChunkBytes: 256,
      snapshotWindow: 2,
      snapshotTimeoutMs: 3_000,
      maxPromotionLag: 10,
    });
    node.on('fatal', (error) => {
      if (!process.isEnded && !this.#mayEnd())
        fail(new Violation('exception', `node ${this.id} has ended: ${error.message} (${String(error.cause)})`));
    });
    node.on('leader-change', ({ leader, term }) => {
      note(`node ${this.id} sees leader ${leader} in term ${term}`);
      if (leader === this.id && !process.isEnded) this.#world.elected(this.id);
    });
    node.on('snapshot-installed', ({ from, index }) => note(`node ${this.id} has a snapshot at ${index} from ${from}`));
    await node.start();
    if (process.isEnded) return;
    this.#node = node;
    note(`started ${this.id}`);
  }

  #stateMachine(machine: RegisterMachine): StateMachine<Outcome | undefined> {
    const { applied } = this.#world;
    return {
      apply: ({ index, term, data }) => {
        if (index <= machine.applied)
          throw new RaftError('state-machine', `entry ${index} comes after ${machine.applied}`);
        const outcome = machine.apply({ index, term, type: EntryType.normal, data }, true);
        applied(this.id, machine);
        return outcome;
      },
      applyMembership: () => {},
      snapshot: () => {
        const state = machine.save();
        const pieces: Uint8Array[] = [];
        for (let at = 0; at < state.length; at += pieceBytes) pieces.push(state.slice(at, at + pieceBytes));
        return { chunks: () => pieces, close: () => {} };
      },
      restore: async (chunks) => {
        const pieces: Uint8Array[] = [];
        for await (const piece of chunks) pieces.push(piece.slice());
        machine.restore(concatBytes(pieces));
        if (machine.applied > 0) applied(this.id, machine);
      },
    };
  }
}
