import type { Random } from '@dcache/base';
import type { ReplicatorStats } from './effects.js';
import type { UpdateLog } from './log.js';
import { type Message, MessageType } from './message.js';
import type { Position, Positions } from './positions.js';

/** What pulling needs of its replicator. */
export interface PullHost {
  readonly positions: Positions;
  readonly log: UpdateLog;
  readonly random: Random;
  readonly stats: ReplicatorStats;
  /** Monotonic time. */
  now(): number;
  /** False: a full state comes first. */
  isReady(): boolean;
  peers(): readonly string[];
  randomPeer(): string | undefined;
  send(to: string, message: Message): void;
  sendBatch(to: string, bytes: Uint8Array): void;
}

const answerBytes = 1024 * 1024;
const waitMs = 2_000;

/** Asks for updates that were missed, and answers those who missed some. */
export class Pulls {
  readonly #host: PullHost;

  constructor(host: PullHost) {
    this.#host = host;
  }

  /** Whether a pull may be sent: none is under way. */
  isDue(position: Position): boolean {
    return this.#host.now() >= position.pullUntilMs;
  }

  /** Asks a peer for the first numbers that are missing. */
  pull(peer: string, position: Position): void {
    const { stats } = this.#host;
    if (!this.#host.isReady()) return;
    position.pullUntilMs = this.#host.now() + waitMs;
    const to = position.early.size > 0 ? Math.min(...firstFew(position.early.keys())) - 1 : position.latest;
    stats.pulls++;
    const from = position.seen + 1;
    this.#host.send(peer, { type: MessageType.pull, origin: position.origin, from, to: Math.max(from, to) });
  }

  /** Asks its origin, where it lives, or else whoever spoke of it. */
  pullFromOrigin(position: Position, other: string): void {
    this.pull(this.#host.peers().includes(position.node) ? position.node : other, position);
  }

  /** Pulls what is missing still; half of the time from its origin, else from anybody. */
  again(position: Position): void {
    if (position.seen >= position.latest || !this.isDue(position)) return;
    const { random } = this.#host;
    const { node } = position;
    const peer = this.#host.peers().includes(node) && random.next() < 0.5 ? node : this.#host.randomPeer();
    if (peer !== undefined) this.pull(peer, position);
  }

  /** A peer misses the numbers from `first` to `last`. */
  answer(to: string, origin: string, first: number, last: number): void {
    const { positions, log } = this.#host;
    const seen = positions.seen(origin);
    const reach = log.reach(origin, seen);
    if (reach <= first) {
      for (const { bytes } of log.range(origin, first, last, answerBytes)) this.#host.sendBatch(to, bytes);
    } else if (seen >= first) this.#host.send(to, { type: MessageType.tooOld, origin, reach });
  }
}

/** Enough of the early numbers to find a low one; the rest is found by the next pull. */
function firstFew(numbers: Iterable<number>): number[] {
  const few: number[] = [];
  for (const number of numbers) {
    few.push(number);
    if (few.length === 64) break;
  }
  return few;
}
