import { fromUtf8, SeededRandom, utf8 } from '@dcache/base';
import { turn, until } from '@dcache/testing';
import type { ConfChangeV2 } from './core/conf-change.js';
import type { ConfState, NodeId, SnapshotMetadata } from './core/message.js';
import { MemoryNetwork } from './net/memory-network.js';
import { RaftNode } from './node.js';
import type { RaftNodeOptions } from './options.js';
import type { AppliedEntry, StateMachine, StateMachineSnapshot } from './state-machine.js';
import { type LogStorage, MemoryStorage } from './storage.js';

/** A map of text to text; an entry is `key=value`, and the reply is what the key had before. */
export class TextMap implements StateMachine<string | undefined> {
  values: Map<string, string> = new Map();
  applied: string[] = [];
  memberships: { context: string; confState: ConfState; index: number }[] = [];
  restores = 0;
  openSnapshots = 0;
  /** Bytes in a chunk of a snapshot. */
  chunkBytes = 64;
  /** Is awaited for each chunk that `restore` takes. */
  onRestoreChunk: ((chunk: Uint8Array) => void | Promise<void>) | undefined;

  apply({ data }: AppliedEntry): string | undefined {
    const text = fromUtf8(data);
    const cut = text.indexOf('=');
    const key = text.slice(0, cut);
    const before = this.values.get(key);
    this.values.set(key, text.slice(cut + 1));
    this.applied.push(text);
    return before;
  }

  applyMembership(change: ConfChangeV2, confState: ConfState, index: number): void {
    this.memberships.push({ context: fromUtf8(change.context ?? new Uint8Array(0)), confState, index });
  }

  snapshot(): StateMachineSnapshot {
    const bytes = utf8(JSON.stringify([...this.values]));
    const { chunkBytes } = this;
    this.openSnapshots++;
    return {
      *chunks() {
        for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.slice(at, at + chunkBytes);
      },
      close: () => {
        this.openSnapshots--;
      },
    };
  }

  async restore(chunks: AsyncIterable<Uint8Array>, _metadata: SnapshotMetadata): Promise<void> {
    this.values.clear();
    const parts: Uint8Array[] = [];
    for await (const chunk of chunks) {
      await this.onRestoreChunk?.(chunk);
      parts.push(chunk);
    }
    this.values = new Map(JSON.parse(Buffer.concat(parts).toString()));
    this.restores++;
  }
}

export type TextNode = RaftNode<string | undefined>;

/** Nodes of one process on a network in memory. Stops what it started. */
export class TestCluster implements AsyncDisposable {
  readonly network: MemoryNetwork = new MemoryNetwork();
  readonly nodes: Map<NodeId, TextNode> = new Map();
  readonly maps: Map<NodeId, TextMap> = new Map();
  readonly #keepAlive: NodeJS.Timeout;
  readonly #options: Partial<RaftNodeOptions<string | undefined>>;

  constructor(options: Partial<RaftNodeOptions<string | undefined>> = {}) {
    // Elections take 0.3 to 0.6 s: much shorter, and a busy machine loses leaders in the midst of a test.
    this.#options = { tickMs: 10, electionTicks: 30, heartbeatTicks: 3, ...options };
    // The clock's timers let a process end; a test waits for them.
    this.#keepAlive = setInterval(() => {}, 1000);
  }

  /** Starts a node. */
  async start(
    id: NodeId,
    options: Partial<RaftNodeOptions<string | undefined>> = {},
    storage: LogStorage = new MemoryStorage(),
  ): Promise<TextNode> {
    const map = new TextMap();
    const node: TextNode = new RaftNode({
      id,
      storage,
      transport: this.network.transport(id),
      stateMachine: map,
      random: new SeededRandom(id),
      ...this.#options,
      ...options,
    });
    await node.start();
    this.nodes.set(id, node);
    this.maps.set(id, map);
    return node;
  }

  /** Founds a cluster of 1 and adds the others as voters; all know of all when it resolves. */
  async found(size: number): Promise<TextNode> {
    const founder = await this.start(1, { bootstrap: { context: utf8('n1') } });
    await until('the founder leads', () => founder.status().role === 'leader');
    for (let id = 2; id <= size; id++) await this.addVoter(founder, id);
    // Until a node has applied the last promotion, it counts its quorum without it.
    await until('all know all voters', () =>
      [...this.nodes.values()].every((node) => node.status().confState.voters.length === size),
    );
    return founder;
  }

  async addVoter(leader: TextNode, id: NodeId): Promise<TextNode> {
    const node = await this.start(id);
    await leader.changeMembership({ type: 'add-learner', id, context: utf8(`n${id}`) });
    await until(`node ${id} is up to date`, () =>
      leader.status().progress.some((peer) => peer.id === id && peer.state === 'replicate'),
    );
    await retry(() => leader.changeMembership({ type: 'promote', id }));
    return node;
  }

  node(id: NodeId): TextNode {
    return this.nodes.get(id)!;
  }

  map(id: NodeId): TextMap {
    return this.maps.get(id)!;
  }

  /** The leader of the highest term, once one of the nodes on the network says it is one. */
  async leader(among: readonly NodeId[] = [...this.nodes.keys()]): Promise<TextNode> {
    return until(`one of ${among} leads`, () => {
      const leaders = among.map((id) => this.node(id)).filter((node) => node.status().role === 'leader');
      return leaders.sort((a, b) => b.status().term - a.status().term)[0];
    });
  }

  /**
   * Writes at whoever leads until it is acknowledged. A write of unknown outcome may have been applied, and is made again:
   * that changes nothing, because a text says what a key has afterwards.
   */
  async write(text: string): Promise<void> {
    await retry(async () => {
      const leader = await this.leader();
      await leader.propose(utf8(text));
    });
  }

  async stop(id: NodeId): Promise<void> {
    await this.node(id).stop();
    this.nodes.delete(id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const stopped = Promise.all([...this.nodes.values()].map((node) => node.stop()));
    // A test that failed may have left a disk that never answers.
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise((resolve) => {
      timer = setTimeout(resolve, 5_000);
    });
    await Promise.race([stopped, patience]);
    clearTimeout(timer);
    clearInterval(this.#keepAlive);
  }
}

/** What may take so long on a busy machine before a test gives up on it. */
const patienceMs = 30_000;

/** Lets everything happen that waits for nothing: a message on the network takes one turn of the event loop. */
export async function quiet(): Promise<void> {
  await turn(50);
}

/** Runs until it does not reject, or gives up with what it rejected with last. */
export async function retry<T>(run: () => Promise<T>): Promise<T> {
  const deadlineMs = performance.now() + patienceMs;
  for (;;) {
    try {
      return await run();
    } catch (error) {
      if (performance.now() > deadlineMs) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
}

/** The code that a promise rejects with, or 'resolved'. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return 'resolved';
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}
