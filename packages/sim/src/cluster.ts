import { type ConfState, type Message, MessageType, type NodeId, type Snapshot, type Status } from '@dcache/raft';
import type { Checkers } from './checkers.js';
import { Network } from './network.js';
import { SimNode } from './node.js';
import type { Scheduler } from './scheduler.js';
import type { TraceLog } from './trace.js';
import type { NodeSettings, NodeWorld } from './world.js';

/** Bounds of the time until a write is durable. */
export interface DiskQuality {
  readonly minSyncMs: number;
  readonly maxSyncMs: number;
  /** Share of writes that take twenty times as long. */
  readonly stalls: number;
}

export const goodDisk: DiskQuality = { minSyncMs: 0.2, maxSyncMs: 2, stalls: 0 };

/** The first members know each other by a snapshot that their log begins with; who joins later gets one. */
const bootstrapIndex = 1;

/** All nodes of a run, those that were removed too, and the network between them. */
export class Cluster {
  readonly network: Network<Message>;
  readonly nodes: Map<NodeId, SimNode> = new Map();
  /** Nodes that were removed and ended. */
  readonly graves: SimNode[] = [];
  diskQuality: DiskQuality = goodDisk;
  readonly scheduler: Scheduler;
  readonly settings: NodeSettings;
  /** Messages that were lost, blocked, or sent to nobody. */
  dropped = 0;
  delivered = 0;
  crashes = 0;
  /** Called when a node begins to lead. */
  onElected: () => void = () => {};
  readonly #trace: TraceLog;
  readonly #world: NodeWorld;
  #lastId = 0;

  constructor(scheduler: Scheduler, settings: NodeSettings, checkers: Checkers, trace: TraceLog) {
    this.scheduler = scheduler;
    this.settings = settings;
    this.#trace = trace;
    this.network = new Network(scheduler, (from, to, message) => this.#deliver(from, to, message));
    this.#world = {
      scheduler,
      checkers,
      note: (text) => this.note(text),
      send: (sender, message) => this.#send(sender, message),
      elected: () => this.onElected(),
      crashed: () => {
        this.crashes++;
      },
      syncDelayMs: () => this.#syncDelayMs(),
    };
  }

  note(text: string): void {
    this.#trace.add(this.scheduler.nowMs, text);
  }

  /** Founds a cluster of `count` voters and starts them. */
  bootstrap(count: number): void {
    const voters = Array.from({ length: count }, () => ++this.#lastId);
    const confState: ConfState = { voters, learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false };
    const metadata = { index: bootstrapIndex, term: 1, confState };
    for (const id of voters) this.#add(id, { metadata, data: new Uint8Array() });
    for (const id of voters) this.nodes.get(id)!.start();
  }

  /** A new process with a new id, and nothing on its disk; it knows nobody until a leader speaks to it. */
  addNode(): SimNode {
    const node = this.#add(++this.#lastId, undefined);
    node.start();
    return node;
  }

  /** The process ends and its disk is thrown away; its id never comes back. */
  destroy(id: NodeId): void {
    const node = this.nodes.get(id);
    if (node === undefined) return;
    node.crash();
    this.nodes.delete(id);
    this.graves.push(node);
    this.note(`destroy ${id}`);
  }

  get up(): SimNode[] {
    return [...this.nodes.values()].filter((node) => node.isUp);
  }

  /** The leader of the highest term among those that are awake, with what it knows. */
  leader(): { readonly node: SimNode; readonly status: Status } | undefined {
    let best: { node: SimNode; status: Status } | undefined;
    for (const node of this.nodes.values()) {
      if (!node.isLeader || node.isPaused) continue;
      const status = node.status()!;
      if (best === undefined || status.term > best.status.term) best = { node, status };
    }
    return best;
  }

  #add(id: NodeId, initial: Snapshot | undefined): SimNode {
    const node = new SimNode(id, this.settings, this.#world, initial);
    this.nodes.set(id, node);
    return node;
  }

  /** `sender` is who has it on the wire; `message.from` may name whom it is about, as when a read is passed on. */
  #send(sender: NodeId, message: Message): void {
    const { scheduler, network, nodes } = this;
    const { to, type } = message;
    const outcome = nodes.has(to) ? network.send(sender, to, message) : 'blocked';
    if (outcome !== 'sent') this.dropped++;
    const tell = nodes.get(sender);
    if (type === MessageType.snapshot) {
      scheduler.after(scheduler.between(1, 20), () =>
        tell?.tell((core) => core.reportSnapshot(to, outcome === 'sent')),
      );
    } else if (outcome === 'blocked' && scheduler.chance(0.1)) {
      scheduler.after(scheduler.between(0, 5), () => tell?.tell((core) => core.reportUnreachable(to)));
    }
  }

  #deliver(from: NodeId, to: NodeId, message: Message): void {
    const node = this.nodes.get(to);
    if (node === undefined || !node.isUp) {
      this.dropped++;
      return;
    }
    this.delivered++;
    const { type, term, index, commit, reject, entries, context } = message;
    this.note(
      `${typeNames[type]} ${from}>${to} t${term} i${index} c${commit} e${entries.length}${reject ? ' reject' : ''} x${context}`,
    );
    node.receive(message);
  }

  #syncDelayMs(): number {
    if (!this.settings.isDurable) return 0;
    const { minSyncMs, maxSyncMs, stalls } = this.diskQuality;
    return this.scheduler.between(minSyncMs, maxSyncMs) * (this.scheduler.chance(stalls) ? 20 : 1);
  }
}

const typeNames: readonly string[] = Object.entries(MessageType)
  .sort((a, b) => a[1] - b[1])
  .map(([name]) => name);
