import { SeededRandom } from '@dcache/base';
import { Replica, type ReplicaOptions } from '../replica.js';

const start = Date.UTC(2026, 0, 1);

/** Replicas whose messages a test holds in its hands. Time stands still until `pass`. */
export class Pool {
  readonly replicas: Map<string, Replica> = new Map();
  readonly skewMs: Map<string, number> = new Map();
  nowMs = 1000;
  /** Messages under way. */
  wire: { readonly from: string; readonly to: string; readonly bytes: Uint8Array }[] = [];
  /** Bytes of the largest message ever sent. */
  largestBytes = 0;
  /** Nodes that do nothing; what is sent to them waits. */
  readonly paused: Set<string> = new Set();
  /** Whether a message is lost. */
  loses: (from: string, to: string) => boolean = () => false;

  constructor(names: readonly string[], options: Partial<ReplicaOptions> = {}) {
    for (const name of names) this.add(name, options).replicator.alone();
    this.meet();
  }

  add(name: string, options: Partial<ReplicaOptions> = {}): Replica {
    const replica = new Replica({
      node: name,
      incarnation: 1 + this.replicas.size,
      random: new SeededRandom(this.replicas.size),
      maxKeys: 1000,
      maxBytes: Number.POSITIVE_INFINITY,
      eviction: 'lru',
      copy: 'freeze',
      deletionDelayMs: 100_000,
      isShared: true,
      ...options,
    });
    this.replicas.set(name, replica);
    this.#advance(name);
    return replica;
  }

  get(name: string): Replica {
    return this.replicas.get(name)!;
  }

  /** All see all. */
  meet(): void {
    for (const [name, replica] of this.replicas)
      replica.replicator.setPeers([...this.replicas.keys()].filter((other) => other !== name));
  }

  connect(a: string, b: string): void {
    this.#advance(a);
    this.get(a).replicator.connected(b);
    this.collect();
  }

  /** Time passes for all, with ticks. */
  pass(ms: number, stepMs = 200): void {
    for (let left = ms; left > 0; left -= stepMs) {
      this.nowMs += Math.min(stepMs, left);
      for (const [name, replica] of this.replicas) {
        if (this.paused.has(name)) continue;
        this.#advance(name);
        replica.tick();
      }
      this.deliver();
    }
  }

  /** Takes what all want to send. */
  collect(): void {
    for (const [name, { replicator }] of this.replicas) {
      replicator.flush();
      for (;;) {
        const { messages, hasMore } = replicator.take();
        for (const { to, bytes } of messages) {
          this.largestBytes = Math.max(this.largestBytes, bytes.length);
          const receivers = to === undefined ? [...this.replicas.keys()].filter((other) => other !== name) : [to];
          for (const receiver of receivers)
            if (!this.loses(name, receiver)) this.wire.push({ from: name, to: receiver, bytes: bytes.slice() });
        }
        if (!hasMore) break;
        replicator.pump();
      }
    }
  }

  /** Delivers until nothing is under way. */
  deliver(): void {
    for (let round = 0; round < 1000; round++) {
      this.collect();
      const wire = this.wire.filter(({ to }) => !this.paused.has(to));
      if (wire.length === 0) return;
      this.wire = this.wire.filter(({ to }) => this.paused.has(to));
      for (const { from, to, bytes } of wire) {
        this.#advance(to);
        this.get(to).replicator.step(from, bytes);
      }
    }
    throw new Error('messages without end');
  }

  set(node: string, key: string, value: unknown, ttlMs: number = Number.POSITIVE_INFINITY): void {
    this.#advance(node);
    const replica = this.get(node);
    replica.set(replica.store.space(''), key, value, { ttlMs });
  }

  delete(node: string, key: string): boolean {
    this.#advance(node);
    const replica = this.get(node);
    return replica.delete(replica.store.space(''), key);
  }

  /** What each node has under a key. */
  values(key: string): unknown[] {
    return [...this.replicas.values()].map(({ store }) => store.entries.get(store.space(''), key));
  }

  #advance(name: string): void {
    this.get(name).advance(start + this.nowMs + (this.skewMs.get(name) ?? 0), this.nowMs);
  }
}
