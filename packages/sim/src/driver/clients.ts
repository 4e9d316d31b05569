import { RaftError, type RaftErrorCode } from '@dcache/raft';
import type { RegisterAction } from '../checker/model.js';
import { keys } from '../clients.js';
import type { HistoryRecorder } from '../history.js';
import type { Scheduler } from '../scheduler.js';
import { encodeCommand } from '../state-machine.js';
import type { Member } from './member.js';

export interface DriverClientWorld {
  readonly scheduler: Scheduler;
  readonly history: HistoryRecorder<RegisterAction>;
  /** Whether reads by lease are made too; they need clocks that run nearly alike. */
  readonly usesLease: boolean;
  /** Leaves the barrier out at a leader, for a mutation test. */
  readonly skipsBarrier: boolean;
  members(): readonly Member[];
  note(text: string): void;
  /** A client was answered with this code of an error. */
  told(code: RaftErrorCode): void;
  nextClient(): number;
  nextValue(): string;
  /** A promise of a node begins to be waited for, or is settled; one whose process ends needs not be. */
  waiting(change: 1 | -1): void;
}

const maxAttempts = 8;

/** What an attempt came to: an answer, certainly nothing, or nobody knows. */
type Attempt<T> = { readonly status: 'ok'; readonly value: T } | { readonly status: 'nothing' | 'unknown' };

/** Codes that say, by the table in `raft/src/errors.ts`, that nothing was applied. */
const nothingHappened = new Set(['not-leader', 'no-leader', 'handing-over', 'busy', 'lost', 'disk-full', 'stopped']);

/** A client of the driver: it proposes to whom it takes for the leader, and reads at any node. */
export class DriverClient {
  readonly #world: DriverClientWorld;
  readonly #seen = new Map<string, string>();
  #id: number;
  #sequence = 0;
  #leader: number | undefined;
  #isStopped = false;
  #isWorking = false;

  constructor(world: DriverClientWorld) {
    this.#world = world;
    this.#id = world.nextClient();
  }

  get isIdle(): boolean {
    return !this.#isWorking;
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** Works until `stop`. */
  async work(): Promise<void> {
    const { scheduler } = this.#world;
    this.#isWorking = true;
    while (!this.#isStopped) {
      await this.#sleep(scheduler.between(0, 30));
      const key = scheduler.pick(keys);
      if (scheduler.chance(0.5)) await this.read(key);
      else await this.write(key);
    }
    this.#isWorking = false;
  }

  /** Asks `only` once if it is given, else one node after the other. */
  async read(key: string, only?: Member): Promise<boolean> {
    const { scheduler, history, note, usesLease } = this.#world;
    const operation = history.invoke(String(this.#id), key, { f: 'read', value: undefined });
    for (let attempt = 0; attempt < (only === undefined ? maxAttempts : 1); attempt++) {
      const isLease = usesLease && scheduler.chance(0.5);
      const member = only ?? (isLease ? this.#target() : scheduler.pick(this.#world.members()));
      const result = await this.#readAt(member, key, isLease ? 'lease' : 'linearizable');
      if (result.status === 'ok') {
        note(
          `client ${this.#id} read ${result.value.slice(0, 9)} from ${key} at ${member.id}${isLease ? ' by lease' : ''}`,
        );
        this.#seen.set(key, result.value);
        history.ok(operation, { f: 'read', value: result.value });
        return true;
      }
      await this.#sleep(scheduler.between(2, 60));
    }
    history.fail(operation);
    return false;
  }

  async write(key: string): Promise<boolean> {
    const { scheduler, history, note, nextValue, nextClient } = this.#world;
    const value = nextValue();
    const expected = scheduler.chance(0.3) ? (this.#seen.get(key) ?? 'nil') : undefined;
    const asked: RegisterAction =
      expected === undefined ? { f: 'write', value } : { f: 'cas', from: expected, to: value, swapped: undefined };
    const operation = history.invoke(String(this.#id), key, asked);
    const data = encodeCommand({ client: this.#id, sequence: ++this.#sequence, key, expected, value });
    let isCertain = true;
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      const member = this.#target();
      const result = await this.#proposeAt(member, data);
      if (result.status === 'ok') {
        note(`client ${this.#id} wrote ${value.slice(0, 9)} to ${key} at ${member.id}: ${result.value}`);
        if (result.value) this.#seen.set(key, value);
        history.ok(operation, asked.f === 'cas' ? { ...asked, swapped: result.value } : asked);
        return true;
      }
      if (result.status === 'unknown') isCertain = false;
      await this.#sleep(scheduler.between(2, 60));
    }
    // Where every attempt was refused for certain, the value must never be seen.
    if (isCertain) history.fail(operation);
    this.#id = nextClient();
    return false;
  }

  #target(): Member {
    const members = this.#world.members();
    return members.find(({ id }) => id === this.#leader) ?? this.#world.scheduler.pick(members);
  }

  #proposeAt(member: Member, data: Uint8Array): Promise<Attempt<boolean>> {
    const { node } = member;
    if (node === undefined || member.process?.isPaused) return this.#down();
    return this.#ask(member, () => node.propose(data).then((outcome) => outcome!.written));
  }

  #readAt(member: Member, key: string, level: 'linearizable' | 'lease'): Promise<Attempt<string>> {
    const { node } = member;
    if (node === undefined || member.process?.isPaused) return this.#down();
    return this.#ask(member, async () => {
      if (!this.#world.skipsBarrier || node.status().role !== 'leader') await node.readBarrier(level);
      const value = member.machine.read(key);
      // Between the barrier and here the process may have stood still.
      if (level === 'lease' && !node.isLeaseValid()) throw new RaftError('no-leader', 'the lease ended while reading');
      return value;
    });
  }

  async #down(): Promise<{ status: 'nothing' }> {
    this.#leader = undefined;
    return { status: 'nothing' };
  }

  /** Waits for the answer of a node, or for the end of its process. */
  async #ask<T>(member: Member, run: () => Promise<T>): Promise<Attempt<T>> {
    const process = member.process!;
    const ended = new Promise<'ended'>((resolve) => process.onEnd(() => resolve('ended')));
    this.#world.waiting(1);
    try {
      const value = await Promise.race([run(), ended]);
      if (value === 'ended') return { status: 'unknown' };
      this.#leader = member.id;
      return { status: 'ok', value };
    } catch (error) {
      if (!(error instanceof RaftError)) throw error;
      this.#leader = error.leader;
      this.#world.note(`client ${this.#id} gets ${error.code} from ${member.id}`);
      this.#world.told(error.code);
      return { status: nothingHappened.has(error.code) ? 'nothing' : 'unknown' };
    } finally {
      this.#world.waiting(-1);
    }
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#world.scheduler.after(ms, resolve);
    });
  }
}
