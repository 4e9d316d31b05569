import { SeededRandom } from '@dcache/base';
import { Replica } from 'bcache';

/** What goes wrong in a run, and for how long. Times are virtual milliseconds. */
export interface WorldOptions {
  readonly seed: number;
  readonly nodes: number;
  readonly deletionDelayMs: number;
  /** Share of messages that are lost, that come twice. */
  readonly loss: number;
  readonly duplication: number;
  /** Messages take from 0.2 ms up to this, each on its own: later ones overtake. */
  readonly delayMs: number;
  /** Clocks are wrong by up to this, either way. */
  readonly skewMs: number;
}

interface Happening {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

const wallAtStart = Date.UTC(2026, 0, 1);
const tickMs = 200;

/** One node: a replica, a clock that may be wrong, and whether it runs at all. */
export class SimNode {
  readonly name: string;
  replica!: Replica;
  /** The wall clock's error. */
  skewMs = 0;
  pausedUntilMs = 0;
  isDown = false;
  group = 0;
  peers: string[] = [];
  starts = 0;

  constructor(name: string) {
    this.name = name;
  }
}

/**
 * Replicas on a network that loses, doubles, delays, reorders and splits, under virtual time. One seed is one run, to
 * the byte: all randomness comes from it and nothing else is asked for the time.
 */
export class World {
  readonly random: SeededRandom;
  readonly nodes: SimNode[];
  nowMs = 0;
  /** False once the network is healed: messages then arrive, once and in order. */
  isFaulty = true;
  messages = 0;
  readonly #options: WorldOptions;
  #order = 0;
  readonly #heap: Happening[] = [];

  constructor(options: WorldOptions) {
    this.#options = options;
    this.random = new SeededRandom(options.seed);
    this.nodes = Array.from({ length: options.nodes }, (_, i) => new SimNode(`n${i}`));
    for (const node of this.nodes) {
      node.skewMs = (this.random.next() * 2 - 1) * options.skewMs;
      this.start(node);
      this.#tickLoop(node);
      this.#viewLoop(node);
    }
  }

  /** Starts a node with nothing in memory, as a new incarnation. */
  start(node: SimNode): void {
    node.starts++;
    node.isDown = false;
    node.peers = [];
    node.replica = new Replica({
      node: node.name,
      incarnation: node.starts * 1000,
      random: new SeededRandom(this.random.below(2 ** 31)),
      maxKeys: 10_000,
      maxBytes: Number.POSITIVE_INFINITY,
      eviction: 'lru',
      copy: 'freeze',
      deletionDelayMs: this.#options.deletionDelayMs,
      isShared: true,
    });
    this.#advance(node);
  }

  at(atMs: number, run: () => void): void {
    this.#heap.push({ atMs, order: this.#order++, run });
    siftUp(this.#heap);
  }

  after(delayMs: number, run: () => void): void {
    this.at(this.nowMs + delayMs, run);
  }

  runUntil(endMs: number): void {
    while (this.#heap.length > 0 && this.#heap[0]!.atMs <= endMs) {
      const happening = pop(this.#heap);
      this.nowMs = happening.atMs;
      happening.run();
    }
    this.nowMs = endMs;
  }

  /** Lets the application on a node do something, where it runs. */
  act(node: SimNode, action: (replica: Replica) => void): void {
    if (node.isDown || node.pausedUntilMs > this.nowMs) return;
    this.#advance(node);
    action(node.replica);
    node.replica.replicator.flush();
    this.#carry(node);
  }

  #tickLoop(node: SimNode): void {
    this.act(node, (replica) => replica.tick());
    this.after(tickMs * (0.9 + this.random.next() * 0.2), () => this.#tickLoop(node));
  }

  /** What membership tells a node: who it can reach, seen a while late. */
  #viewLoop(node: SimNode): void {
    const reachable = this.nodes
      .filter((other) => other !== node && !other.isDown && this.#canTalk(node, other))
      .map((other) => other.name);
    const replica = node.replica;
    this.after(300 + this.random.next() * 1500, () => {
      // A view of before a restart is nobody's any more.
      if (replica === node.replica) {
        this.act(node, ({ replicator }) => {
          const came = reachable.filter((name) => !node.peers.includes(name));
          node.peers = reachable;
          replicator.setPeers(reachable);
          for (const name of came) replicator.connected(name);
        });
      }
      this.#viewLoop(node);
    });
  }

  #canTalk(a: SimNode, b: SimNode): boolean {
    return a.group === b.group;
  }

  #advance(node: SimNode): void {
    node.replica.advance(wallAtStart + this.nowMs + node.skewMs, 1000 + this.nowMs);
  }

  #carry(node: SimNode): void {
    const { messages, hasMore } = node.replica.replicator.take();
    for (const { to, bytes } of messages) {
      for (const name of to === undefined ? node.peers : [to]) {
        const other = this.nodes.find((candidate) => candidate.name === name)!;
        this.#transmit(node, other, bytes);
      }
    }
    if (hasMore) this.after(0.1, () => this.act(node, (replica) => replica.replicator.pump()));
  }

  #transmit(from: SimNode, to: SimNode, bytes: Uint8Array): void {
    const { loss, duplication, delayMs } = this.#options;
    if (this.isFaulty && this.random.next() < loss) return;
    const copies = this.isFaulty && this.random.next() < duplication ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      const delay = 0.2 + (this.isFaulty ? this.random.next() ** 3 * delayMs : 0.3);
      this.after(delay, () => this.#deliver(from, to, bytes));
    }
  }

  #deliver(from: SimNode, to: SimNode, bytes: Uint8Array): void {
    if (to.isDown || !this.#canTalk(from, to)) return;
    if (to.pausedUntilMs > this.nowMs) {
      // What waits in a paused process's sockets is read when it runs again.
      this.at(to.pausedUntilMs + this.random.next(), () => this.#deliver(from, to, bytes));
      return;
    }
    this.messages++;
    // Each receiver gets bytes of its own, as from a socket.
    this.act(to, (replica) => replica.replicator.step(from.name, bytes.slice()));
  }
}

function isBefore(a: Happening, b: Happening): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

function siftUp(heap: Happening[]): void {
  let at = heap.length - 1;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (!isBefore(heap[at]!, heap[parent]!)) return;
    [heap[at], heap[parent]] = [heap[parent]!, heap[at]!];
    at = parent;
  }
}

function pop(heap: Happening[]): Happening {
  const top = heap[0]!;
  const last = heap.pop()!;
  if (heap.length === 0) return top;
  heap[0] = last;
  let at = 0;
  for (;;) {
    const left = at * 2 + 1;
    if (left >= heap.length) return top;
    const right = left + 1;
    const child = right < heap.length && isBefore(heap[right]!, heap[left]!) ? right : left;
    if (!isBefore(heap[child]!, heap[at]!)) return top;
    [heap[at], heap[child]] = [heap[child]!, heap[at]!];
    at = child;
  }
}
