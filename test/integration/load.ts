import assert from 'node:assert/strict';
import type { Node } from './harness.js';

/** Clients that write counters and remember what was acknowledged. */
export class Load {
  readonly #nodes: readonly Node[];
  /** By key: the last number acknowledged, and the last sent. */
  readonly #keys = new Map<string, { acknowledged: number; sent: number }>();
  readonly #clients: Promise<void>[] = [];
  #isStopped = false;
  acknowledged = 0;

  /** `prefix` keeps the keys of several loads apart. */
  constructor(nodes: readonly Node[], clients: number, prefix = 'load') {
    this.#nodes = nodes;
    for (let i = 0; i < clients; i++) this.#clients.push(this.#client(`${prefix}-${i}`, i));
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#clients);
  }

  /**
   * Reads every key on every node. A read may not be older than what was acknowledged before it began, nor newer than
   * what was sent before it ended.
   */
  async checkEveryRead(nodes: readonly Node[]): Promise<void> {
    for (const [key, state] of this.#keys) {
      for (const node of nodes) {
        const least = state.acknowledged;
        const read = await node.get(key);
        assert.equal(read.status, 200, `${key} on ${node.name}: ${read.text}`);
        const value = Number(read.text);
        assert.ok(value >= least, `${key} on ${node.name} is ${value}, but ${least} was acknowledged`);
        assert.ok(value <= state.sent, `${key} on ${node.name} is ${value}, but only ${state.sent} was sent`);
      }
    }
  }

  async #client(key: string, number: number): Promise<void> {
    const state = { acknowledged: 0, sent: 0 };
    this.#keys.set(key, state);
    for (let turn = number; !this.#isStopped; turn++) {
      const node = this.#nodes[turn % this.#nodes.length]!;
      const value = ++state.sent;
      try {
        const answer = await node.set(key, String(value));
        if (answer.status !== 200) continue;
        state.acknowledged = value;
        this.acknowledged++;
      } catch {
        // The node is down: the write may have been applied or not; the next number tells more.
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
  }
}
