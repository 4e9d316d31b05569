import type { ConfChange, ConfState, Message, NodeId, ProposeResult, RawNode, Snapshot, Status } from '@dcache/raft';
import { Role } from '@dcache/raft';
import { LogDisk } from './disk.js';
import { Life } from './life.js';
import type { Answer } from './replica.js';
import { type Command, encodeCommand, RegisterMachine } from './state-machine.js';
import type { NodeSettings, NodeWorld } from './world.js';

const tickMs = 10;

/** A node of the cluster: its disk, and the process that is or is not running on it. */
export class SimNode {
  readonly id: NodeId;
  readonly disk: LogDisk = new LogDisk();
  /** How much longer than they should this node's ticks take; 1 is right. */
  clockRate = 1;
  readonly #settings: NodeSettings;
  readonly #world: NodeWorld;
  #life: Life | undefined;
  /** The life before, of which what it had applied is still of interest. */
  #last: Life | undefined;

  /** `initial` is the snapshot that the log of a founder begins with. */
  constructor(id: NodeId, settings: NodeSettings, world: NodeWorld, initial: Snapshot | undefined) {
    this.id = id;
    this.#settings = settings;
    this.#world = world;
    if (initial === undefined) return;
    const { term, index } = initial.metadata;
    this.disk.write({ snapshot: initial, hardState: { term, vote: 0, commit: index } });
    this.disk.sync();
  }

  get isUp(): boolean {
    return this.#life !== undefined;
  }

  get isPaused(): boolean {
    return this.#life?.isPaused === true;
  }

  get isLeader(): boolean {
    return this.#life?.core.role === Role.leader;
  }

  /** What the process has applied, or had when it died. */
  get machine(): RegisterMachine {
    return (this.#life ?? this.#last)?.replica.machine ?? new RegisterMachine();
  }

  /** The members as of that. */
  get confState(): ConfState {
    return (this.#life ?? this.#last)?.replica.confState ?? this.disk.initialState().confState;
  }

  status(): Status | undefined {
    return this.#life?.core.status();
  }

  /** Whether its log may hold a change of the members behind `index`. */
  mayHoldChangeAfter(index: number): boolean {
    const last = this.#life?.status.lastIndex ?? 0;
    return (last > index && last !== this.disk.lastIndex()) || this.disk.hasChangeAfter(index);
  }

  start(): void {
    const { scheduler, note, checkers } = this.#world;
    const life = new Life(this, this.#settings, this.#world);
    this.#life = life;
    this.disk.freshSnapshot = () => life.replica.snapshot();
    note(`start ${this.id} applied=${life.replica.machine.applied} last=${this.disk.lastIndex()}`);
    checkers.started(this.id, life.status);
    this.#tick(life, scheduler.between(0, tickMs));
    life.wake();
  }

  /** The process dies. What it had promised nobody is lost, but for what reached the disk by chance. */
  crash(): void {
    const life = this.#life;
    if (life === undefined) return;
    const { scheduler, note, checkers, crashed } = this.#world;
    this.#life = undefined;
    this.#last = life;
    if (this.#settings.isDurable) this.disk.crash((count) => scheduler.below(count + 1));
    else this.disk.wipe();
    if (this.#settings.mutation === 'forget-hard-state') this.disk.forgetHardState();
    note(`crash ${this.id} last=${this.disk.lastIndex()}`);
    crashed();
    checkers.stopped(this.id);
    life.end();
  }

  /** The process stands still; it does not know. */
  pause(durationMs: number): void {
    const life = this.#life;
    if (life === undefined || life.isPaused) return;
    life.pause();
    this.#world.note(`pause ${this.id} ${durationMs.toFixed(1)}ms`);
    life.later(durationMs, () => this.resume());
  }

  resume(): void {
    if (!this.isPaused) return;
    this.#world.note(`resume ${this.id}`);
    this.#life?.resume();
  }

  /** A message arrives. */
  receive(message: Message): void {
    this.#life?.feed((core) => core.step(message));
  }

  /** Something that the core is told from outside, such as a wish to lead. */
  tell(run: (core: RawNode) => void): void {
    this.#life?.feed(run);
  }

  /** Undefined where nobody is awake to take it. */
  proposeChange(change: ConfChange): ProposeResult | undefined {
    if (this.#life === undefined || this.#life.isPaused) return undefined;
    const result = this.#life.core.proposeConfChange(change);
    this.#life.wake();
    return result;
  }

  /** A client's write; `done` may never be called. */
  write(command: Command, done: (answer: Answer<boolean>) => void): void {
    const life = this.#life;
    if (life === undefined) {
      done({ status: 'refused' });
      return;
    }
    life.feed((core) => {
      const forget = life.replica.awaitWrite(command, done);
      if (core.propose(encodeCommand(command)).status !== 'dropped') return;
      forget();
      done({ status: 'refused' });
    });
  }

  /** A client's read; `context` was never used before; `done` may never be called. */
  read(key: string, context: number, done: (answer: Answer<string>) => void): void {
    const life = this.#life;
    if (life === undefined) {
      done({ status: 'refused' });
      return;
    }
    life.feed((core) => {
      if (this.#settings.mutation === 'read-without-quorum' && this.isLeader) {
        done({ status: 'ok', value: this.machine.read(key) });
        return;
      }
      const forget = life.replica.awaitRead(context, key, done);
      if (core.readIndex(context) === 'requested') return;
      forget();
      done({ status: 'refused' });
    });
  }

  /** Keeps a snapshot of what is applied and gives up entries before it, all but the last `keep`. */
  compact(keep: number): void {
    if (this.#life === undefined || this.#life.isPaused) return;
    const snapshot = this.#life.replica.snapshot();
    const stored = this.disk.storedSnapshot()?.metadata.index ?? 0;
    // What the core does not know to be applied yet must stay.
    if (snapshot === undefined || snapshot.metadata.index <= stored) return;
    const { index } = snapshot.metadata;
    if (index > this.#life.status.applied) return;
    this.#world.note(`compact ${this.id} at ${index} keep ${keep}`);
    this.disk.write({ ownSnapshot: snapshot, compactTo: Math.max(0, index - keep) });
    this.disk.sync();
  }

  #tick(life: Life, delayMs: number): void {
    life.later(delayMs, () => {
      this.#tick(life, tickMs * this.clockRate);
      // Timers that were missed do not fire again and again afterwards.
      if (!life.isPaused) life.feed((core) => core.tick());
    });
  }
}
