/**
 * Three replicas of the cache itself: the server's state machine and store behind whole `RaftNode`s, under a random load
 * with times to live, more than fits, samples of reads, and limits that change. One is cut off until only a snapshot can
 * bring it back, one loses its power. After every entry each replica tells the hash of its state, and equal indexes must
 * have equal hashes, whatever way a replica came there.
 */
import { SeededRandom } from '@dcache/base';
import { type Command, CommandType } from '@dcache/protocol';
import type { NodeId } from '@dcache/raft';
import type { EvictionPolicy } from '@dcache/store';
import { Violation } from '../checkers.js';
import { Connections } from '../driver/connections.js';
import { Scheduler } from '../scheduler.js';
import { TraceLog } from '../trace.js';
import { type CacheMutation, CacheReplica, setCommand } from './replica.js';

export interface CacheRunOptions {
  readonly seed: number;
  readonly eviction?: EvictionPolicy;
  readonly mutation?: CacheMutation;
}

export interface CacheRunResult {
  readonly violation: Violation | undefined;
  /** Names everything that happened: equal seeds give equal digests. */
  readonly digest: string;
  /** Of each replica: how many of its states were compared with another's. */
  readonly compared: readonly number[];
  readonly evictions: readonly number[];
  readonly expirations: readonly number[];
  /** Snapshots installed from another replica, by all. */
  readonly snapshots: number;
}

const ids: readonly NodeId[] = [1, 2, 3];
const maxBytes = 60_000;
const keyCount = 500;
/** Virtual time of each third of the run: all well, one cut off, one without power. */
const thirdMs = 1000;
const patienceMs = 20_000;
const textEncoder = new TextEncoder();

/** Does not reject for what goes wrong inside the run: that is its result. */
export async function simulateCache(options: CacheRunOptions): Promise<CacheRunResult> {
  const run = new CacheRun(options);
  let violation: Violation | undefined;
  try {
    await run.go();
  } catch (error) {
    violation =
      error instanceof Violation ? error : new Violation('exception', String((error as Error).stack ?? error));
  }
  return run.result(violation);
}

class CacheRun {
  readonly #scheduler: Scheduler;
  readonly #trace = new TraceLog(0);
  readonly #connections: Connections;
  readonly #replicas: readonly CacheReplica[];
  readonly #eviction: EvictionPolicy;
  /** The hash of the state after each index, and who told it first. */
  readonly #states = new Map<number, { readonly by: NodeId; readonly stateHash: string }>();
  readonly #compared = new Map<NodeId, number>(ids.map((id) => [id, 0]));
  #violation: Violation | undefined;
  #isLoaded = true;
  #writes = 0;

  constructor({ seed, eviction = 'sieve', mutation }: CacheRunOptions) {
    this.#eviction = eviction;
    this.#scheduler = new Scheduler(new SeededRandom(seed));
    this.#connections = new Connections(this.#scheduler, (text) => this.#note(text));
    this.#replicas = ids.map(
      (id) =>
        new CacheReplica(id, {
          scheduler: this.#scheduler,
          connections: this.#connections,
          store: { maxBytes, eviction },
          mutation,
          note: (text) => this.#note(text),
          applied: (by, index, stateHash) => this.#compare(by, index, stateHash),
          fail: (violation) => {
            this.#violation ??= violation;
          },
        }),
    );
  }

  async go(): Promise<void> {
    const scheduler = this.#scheduler;
    for (const replica of this.#replicas) replica.start(replica.id === 1);
    await this.#until('a leader', () => this.#leader() !== undefined);
    for (const id of ids.slice(1)) await this.#join(id);
    this.#load();
    await this.#work(scheduler.nowMs + thirdMs);

    // Cut off until the others have thrown away what it would need: then only a snapshot helps.
    const leader = this.#leader()!.id;
    const lone = scheduler.chance(0.3) ? leader : scheduler.pick(ids.filter((id) => id !== leader));
    this.#connections.partition(
      [lone],
      ids.filter((id) => id !== lone),
    );
    this.#note(`cut off ${lone}`);
    await this.#work(scheduler.nowMs + thirdMs);
    this.#connections.heal();

    const dark = scheduler.pick(this.#replicas.filter(({ id }) => id !== lone));
    await this.#work(scheduler.nowMs + thirdMs / 3);
    dark.crash();
    await this.#work(scheduler.nowMs + thirdMs / 3);
    dark.start(false);
    await this.#work(scheduler.nowMs + thirdMs / 3);

    this.#isLoaded = false;
    await this.#until('all replicas to be level', () => this.#isLevel());
    const hashes = new Set(this.#replicas.map((replica) => replica.stateHash));
    if (hashes.size !== 1) throw new Violation('state-machine-safety', `states differ at the end: ${[...hashes]}`);
  }

  result(violation: Violation | undefined): CacheRunResult {
    for (const replica of this.#replicas) replica.end();
    return {
      violation,
      digest: `${this.#trace.digest()} ${this.#replicas[0]!.stateHash}`,
      compared: ids.map((id) => this.#compared.get(id)!),
      evictions: this.#replicas.map((replica) => replica.evictions),
      expirations: this.#replicas.map((replica) => replica.expirations),
      snapshots: this.#replicas.reduce((sum, replica) => sum + replica.snapshots, 0),
    };
  }

  #note(text: string): void {
    this.#trace.add(this.#scheduler.nowMs, text);
  }

  #compare(by: NodeId, index: number, stateHash: string): void {
    const known = this.#states.get(index);
    if (known === undefined) {
      this.#states.set(index, { by, stateHash });
      return;
    }
    if (known.by !== by) for (const id of [by, known.by]) this.#compared.set(id, this.#compared.get(id)! + 1);
    if (known.stateHash !== stateHash)
      this.#violation ??= new Violation(
        'state-machine-safety',
        `replica ${by} has the state ${stateHash} at index ${index}, replica ${known.by} had ${known.stateHash}`,
      );
  }

  /** The leader of the highest term. */
  #leader(): CacheReplica | undefined {
    const leaders = this.#replicas.filter((replica) => replica.node?.status().role === 'leader');
    return leaders.sort((a, b) => b.node!.status().term - a.node!.status().term)[0];
  }

  async #join(id: NodeId): Promise<void> {
    for (const type of ['add-learner', 'promote'] as const) {
      let state: 'waits' | 'asked' | 'done' = 'waits';
      await this.#until(`${type} ${id}`, () => {
        const node = this.#leader()?.node;
        if (state !== 'waits' || node === undefined) return state === 'done';
        state = 'asked';
        // A learner is not promoted before it has caught up: asked again.
        node.changeMembership({ type, id }).then(
          () => {
            state = 'done';
          },
          () => {
            state = 'waits';
          },
        );
        return false;
      });
    }
  }

  /** Every few milliseconds an entry, by whoever leads; whoever believes to, too. */
  #load(): void {
    const scheduler = this.#scheduler;
    scheduler.after(scheduler.between(1, 8), () => {
      if (!this.#isLoaded) return;
      this.#load();
      for (const replica of this.#replicas) for (let i = 0; i < 3; i++) replica.read(this.#key());
      const commands = Array.from({ length: scheduler.below(8) }, () => this.#command());
      const touched = scheduler.pick(this.#replicas).takeTouched(20);
      if (touched.length > 0) commands.push({ type: CommandType.touch, keys: touched });
      for (const replica of this.#replicas) if (replica.node?.status().role === 'leader') replica.propose(commands);
    });
  }

  #command(): Command {
    const scheduler = this.#scheduler;
    const kind = scheduler.below(100);
    if (kind < 2) {
      const limit = Math.floor(maxBytes * scheduler.between(0.5, 1.2));
      return { type: CommandType.configure, maxBytes: limit, eviction: this.#eviction };
    }
    if (kind < 15) return { type: CommandType.delete, key: this.#key() };
    const bytes = scheduler.chance(0.1) ? scheduler.below(4000) : scheduler.below(300);
    const ttlMs = scheduler.chance(0.5) ? scheduler.pick([20, 100, 500, scheduler.below(2000) + 1]) : 0;
    return setCommand(this.#key(), bytes, ttlMs, ++this.#writes);
  }

  #key(): Uint8Array {
    return textEncoder.encode(`key ${Math.floor(this.#scheduler.random.next() ** 2 * keyCount)}`);
  }

  #isLevel(): boolean {
    const all = this.#replicas.map(({ node }) => node?.status());
    const last = Math.max(...all.map((status) => status?.lastIndex ?? 0));
    return all.every((status) => status?.appliedIndex === last) && this.#leader() !== undefined;
  }

  /** Does what is due until `endMs`; between two things all promises that can go on do. */
  async #work(endMs: number): Promise<void> {
    while (this.#scheduler.step(endMs)) {
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#violation !== undefined) throw this.#violation;
    }
  }

  async #until(what: string, isTrue: () => boolean): Promise<void> {
    const deadlineMs = this.#scheduler.nowMs + patienceMs;
    while (!isTrue()) {
      if (this.#scheduler.nowMs >= deadlineMs) throw new Violation('liveness', `waited ${patienceMs} ms for ${what}`);
      await this.#work(this.#scheduler.nowMs + 10);
    }
  }
}
