import type { ReplicatorEvent, ReplicatorStats } from './effects.js';
import type { StateExchange } from './state-exchange.js';
import type { Voids } from './voids.js';

/** What being ready needs of its replicator. */
export interface ReadinessHost {
  readonly states: StateExchange;
  readonly voids: Voids;
  readonly stats: ReplicatorStats;
  /** Monotonic time. */
  now(): number;
  tell(event: ReplicatorEvent): void;
  /** Asks every peer where it stands. */
  askAll(): void;
}

/**
 * Whether this node knows what the others know. It is ready once it has what a peer has, or nobody is there; it is stale
 * when it was away for so long that deletions may have been forgotten, and then takes a full state before it sends
 * anything.
 */
export class Readiness {
  readonly #host: ReadinessHost;
  readonly #deletionDelayMs: number;
  /** When any peer was last heard; -1 before the first. */
  #heardAtMs = -1;
  #isStale = false;
  #isReady = false;

  constructor(host: ReadinessHost, deletionDelayMs: number) {
    this.#host = host;
    this.#deletionDelayMs = deletionDelayMs;
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  get isStale(): boolean {
    return this.#isStale;
  }

  /** A peer was heard now. */
  heard(): void {
    this.#heardAtMs = this.#host.now();
  }

  /** So much time went by since this node last ran: its own long pause is an absence too. */
  passed(ms: number): void {
    if (ms > this.#deletionDelayMs) this.#becomeStale();
  }

  tick(): void {
    if (this.#heardAtMs >= 0 && this.#host.now() - this.#heardAtMs > this.#deletionDelayMs) this.#becomeStale();
  }

  becomeReady(): void {
    if (this.#isReady) return;
    this.#isReady = true;
    this.#host.tell({ type: 'ready' });
  }

  requestState(from: string): void {
    if (!this.#host.states.request(from, this.#isStale)) return;
    this.#host.stats.states++;
    this.#host.voids.stateAsked();
  }

  /** A full state was taken, to its end. */
  stateTaken(): void {
    this.#isStale = false;
    this.#host.voids.stateTaken();
    this.becomeReady();
    this.#host.askAll();
  }

  #becomeStale(): void {
    if (this.#isStale || this.#heardAtMs < 0) return;
    this.#isStale = true;
    this.#host.states.giveUp();
    this.#host.tell({ type: 'stale' });
    this.#host.askAll();
  }
}
