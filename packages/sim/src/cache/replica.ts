import { SeededRandom } from '@dcache/base';
import { type Command, CommandType, encodeLogEntry, type Reply } from '@dcache/protocol';
import { DiskStorage, type NodeId, RaftNode, SimulatedDisk, type StateMachine } from '@dcache/raft';
import type { StoreOptions } from '@dcache/store';
import { CacheStateMachine } from 'dcache';
import { Violation } from '../checkers.js';
import type { Connections } from '../driver/connections.js';
import { VirtualProcess } from '../driver/process.js';
import { slowFileSystem } from '../driver/slow-disk.js';
import type { Scheduler } from '../scheduler.js';

/** Known bugs around the store, to prove that the comparison sees them. */
export const cacheMutations = [
  /** A replica lets entries expire by its own clock, which is ahead of the others'. */
  'expire-by-own-clock',
  /** What a replica's clients read there counts for its eviction, and for nobody else's. */
  'touch-by-own-reads',
] as const;
export type CacheMutation = (typeof cacheMutations)[number];

/** What a replica needs of the run. */
export interface ReplicaWorld {
  readonly scheduler: Scheduler;
  readonly connections: Connections;
  /** What is equal on all replicas. */
  readonly store: Pick<StoreOptions, 'maxBytes' | 'eviction'>;
  readonly mutation: CacheMutation | undefined;
  note(text: string): void;
  /** The replica's state after the entry of this index. */
  applied(id: NodeId, index: number, stateHash: string): void;
  fail(violation: Violation): void;
}

/** The mutations concern this one. */
const mutant = 2;

/** The server's own state machine behind a whole `RaftNode` with a log on disk, in a process of its own. */
export class CacheReplica {
  readonly id: NodeId;
  readonly #world: ReplicaWorld;
  readonly #disk: SimulatedDisk;
  #process: VirtualProcess | undefined;
  #machine: CacheStateMachine | undefined;
  #node: RaftNode<readonly Reply[]> | undefined;
  /** Counted by processes that have ended. */
  evictions = 0;
  expirations = 0;
  snapshots = 0;

  constructor(id: NodeId, world: ReplicaWorld) {
    this.id = id;
    this.#world = world;
    this.#disk = new SimulatedDisk({ random: new SeededRandom(world.scheduler.below(2 ** 31)) });
  }

  /** Undefined while no process runs or it is still starting. */
  get node(): RaftNode<readonly Reply[]> | undefined {
    return this.#node;
  }

  get stateHash(): string {
    return this.#machine?.stateHash() ?? '';
  }

  start(isFounder: boolean): void {
    const { scheduler, fail, note } = this.#world;
    const process = new VirtualProcess(scheduler, scheduler.between(0.9, 1.1), scheduler.between(-1000, 1000));
    this.#process = process;
    note(`start ${this.id}`);
    this.#open(process, isFounder).catch((error: unknown) => {
      if (!process.isEnded)
        fail(new Violation('exception', `replica ${this.id} does not start: ${(error as Error).stack}`));
    });
  }

  /** The power of its machine is cut. */
  crash(): void {
    if (this.#process === undefined) return;
    this.#world.note(`crash ${this.id}`);
    this.#count();
    this.#disk.crash();
    this.#process.end();
    this.#process = undefined;
    this.#node = undefined;
    this.#machine = undefined;
  }

  end(): void {
    this.#count();
    this.#process?.end();
  }

  /** Reads here, as this replica's clients do. */
  read(key: Uint8Array): void {
    if (this.#machine?.read(key) !== undefined && this.#is('touch-by-own-reads')) this.#machine.store.touch(key);
  }

  /** Keys that were read here and count for eviction once they are in the log. */
  takeTouched(limit: number): Uint8Array[] {
    return this.#machine?.store.takeTouched(limit) ?? [];
  }

  /** Proposes commands as one entry with this replica's stamp; what becomes of it does not matter here. */
  propose(commands: readonly Command[]): void {
    const [node, machine, process] = [this.#node, this.#machine, this.#process];
    if (node === undefined || machine === undefined || process === undefined) return;
    const stampMs = Math.max(machine.stampMs, Math.floor(process.clock.wallMs()));
    node.propose(encodeLogEntry({ stampMs, commands })).catch(() => {});
  }

  #is(mutation: CacheMutation): boolean {
    return this.id === mutant && this.#world.mutation === mutation;
  }

  #count(): void {
    const stats = this.#machine?.store.stats();
    this.evictions += stats?.evictions ?? 0;
    this.expirations += stats?.expirations ?? 0;
    this.snapshots += this.#node?.stats().snapshotsInstalled ?? 0;
  }

  async #open(process: VirtualProcess, isFounder: boolean): Promise<void> {
    const { scheduler, connections, store, note, fail } = this.#world;
    const { clock } = process;
    const random = new SeededRandom(scheduler.below(2 ** 31));
    const syncMs = (): number => scheduler.between(0.1, 2);
    const fileSystem = slowFileSystem(this.#disk.mount(), scheduler, process, syncMs, false);
    const storage = await DiskStorage.open({
      directory: 'log',
      nodeId: this.id,
      segmentBytes: 65_536,
      fileSystem,
      clock,
      random,
    });
    // What may differ between replicas does.
    const machine = new CacheStateMachine({ ...store, seed: scheduler.below(2 ** 31), segmentBytes: 4096 << this.id });
    const node = new RaftNode<readonly Reply[]>({
      id: this.id,
      storage,
      transport: connections.transport(this.id, process),
      stateMachine: this.#watched(machine, process),
      ...(isFounder ? { bootstrap: {} } : {}),
      clock,
      random,
      defer: (run) => process.defer(run),
      tickMs: 10,
      electionTicks: 10,
      trailingEntries: 15,
      snapshotEntries: 40,
      snapshotChunkBytes: 4096,
    });
    node.on('fatal', (error) => {
      if (!process.isEnded)
        fail(new Violation('exception', `replica ${this.id} has ended: ${error.message} (${String(error.cause)})`));
    });
    node.on('snapshot-installed', ({ from, index }) =>
      note(`replica ${this.id} has a snapshot at ${index} from ${from}`),
    );
    await node.start();
    if (process.isEnded) return;
    this.#machine = machine;
    this.#node = node;
  }

  /** The machine, telling its state after each entry. */
  #watched(machine: CacheStateMachine, process: VirtualProcess): StateMachine<readonly Reply[]> {
    const { applied } = this.#world;
    return {
      apply: (entry) => {
        if (this.#is('expire-by-own-clock')) machine.store.advance(Math.floor(process.clock.wallMs()) + 2000);
        const replies = machine.apply(entry);
        applied(this.id, entry.index, machine.stateHash());
        return replies;
      },
      applyMembership: (change, confState, index) => {
        machine.applyMembership(change, confState);
        applied(this.id, index, machine.stateHash());
      },
      snapshot: () => machine.snapshot(),
      restore: async (chunks, { index }) => {
        await machine.restore(chunks);
        applied(this.id, index, machine.stateHash());
      },
    };
  }
}

/** A write of `bytes` bytes that differ from those of any other revision. */
export function setCommand(key: Uint8Array, bytes: number, ttlMs: number, flags: number): Command {
  return { type: CommandType.set, key, value: new Uint8Array(bytes).fill(flags), ttlMs, flags };
}
