import { assert, fromUtf8, SeededRandom, utf8 } from '@dcache/base';
import {
  type ConfState,
  type Entry,
  EntryType,
  type Message,
  type MessageType,
  type NodeId,
  noBytes,
  Role,
  type Snapshot,
} from '../core/message.js';
import type { RawNodeOptions } from '../core/options.js';
import { RawNode } from '../core/raw-node.js';
import type { Ready } from '../core/ready.js';
import { MemoryLog } from './memory-log.js';

/** A core with what it has on disk, and what it applied since it started. */
export interface Host {
  node: RawNode;
  readonly log: MemoryLog;
  /** The state machine: the texts of all applied entries that carry something. */
  applied: string[];
  /** Index of the last applied entry, and the members as of it. */
  appliedTo: number;
  members: ConfState;
  readonly reads: { index: number; context: number }[];
}

export type HostOptions = Partial<Omit<RawNodeOptions, 'id' | 'storage' | 'random'>>;

/** Small timeouts, so that tests need few ticks. */
const defaults: HostOptions = { electionTicks: 10, heartbeatTicks: 1 };

/**
 * Cores that talk to each other in one process, for tests. Messages go in order and arrive as soon as `settle` runs;
 * a test cuts links and loses types as it likes. Nothing is random but what a seed gives.
 */
export class Network {
  readonly hosts: Map<NodeId, Host> = new Map();
  /** Called for each message; false loses it. */
  filter: (message: Message) => boolean = () => true;
  /** Every message that was sent, in order. */
  readonly sent: Message[] = [];
  readonly #options: HostOptions;
  readonly #inFlight: Message[] = [];

  /** Voters and learners begin with an empty log that all share. */
  constructor(voters: readonly NodeId[], options: HostOptions = {}, learners: readonly NodeId[] = []) {
    this.#options = { ...defaults, ...options };
    const confState = { voters, learners, votersOutgoing: [], learnersNext: [], autoLeave: false };
    const snapshot = { metadata: { index: 1, term: 1, confState }, data: noBytes };
    for (const id of [...voters, ...learners]) {
      const log = new MemoryLog();
      log.applySnapshot(snapshot);
      log.hardState = { term: 1, vote: 0, commit: 1 };
      this.#start(id, log);
    }
  }

  /** Adds a node that knows nothing. */
  addEmpty(id: NodeId, options: HostOptions = {}): Host {
    return this.#start(id, new MemoryLog(), options);
  }

  /** Adds a node that starts from a log. */
  addFrom(id: NodeId, log: MemoryLog, options: HostOptions = {}): Host {
    return this.#start(id, log, options);
  }

  /** A crash and a start from what is on disk; what was applied is applied again. */
  restart(id: NodeId, options: HostOptions = {}): Host {
    return this.#start(id, this.host(id).log, options);
  }

  #start(id: NodeId, log: MemoryLog, options: HostOptions = {}): Host {
    const node = new RawNode({
      ...this.#options,
      ...options,
      id,
      storage: log,
      random: new SeededRandom(id),
    });
    const host: Host = {
      node,
      log,
      applied: stateOf(log.base),
      appliedTo: log.base.metadata.index,
      members: log.base.metadata.confState,
      reads: [],
    };
    log.snapshotSource = () => snapshotOf(host);
    this.hosts.set(id, host);
    return host;
  }

  host(id: NodeId): Host {
    const host = this.hosts.get(id);
    assert(host !== undefined, `there is no node ${id}`);
    return host;
  }

  node(id: NodeId): RawNode {
    return this.host(id).node;
  }

  /** Elects `id`, which must be able to win. */
  elect(id: NodeId): RawNode {
    this.node(id).campaign();
    this.settle();
    assert(this.node(id).role === Role.leader, `node ${id} was not elected`);
    return this.node(id);
  }

  /** Ticks one node, or all of them in turn, and settles after each round. */
  tick(count: number, ids: readonly NodeId[] = [...this.hosts.keys()]): void {
    for (let i = 0; i < count; i++) {
      for (const id of ids) this.node(id).tick();
      this.settle();
    }
  }

  /** Does everything there is to do, until nothing is left. */
  settle(): void {
    for (let round = 0; ; round++) {
      assert(round < 10_000, 'the network does not come to rest');
      let isBusy = false;
      for (const id of this.hosts.keys()) if (this.process(id)) isBusy = true;
      const messages = this.#inFlight.splice(0);
      for (const message of messages) this.hosts.get(message.to)?.node.step(message);
      if (!isBusy && messages.length === 0) return;
    }
  }

  /** Takes one `Ready` of a node and does it; undefined when it has none. */
  process(id: NodeId): Ready | undefined {
    const host = this.host(id);
    const { node, log } = host;
    if (!node.hasReady()) return undefined;
    const ready = node.ready();
    this.send(ready.messages);
    if (ready.snapshot !== undefined) {
      log.applySnapshot(ready.snapshot);
      host.applied = stateOf(ready.snapshot);
      host.appliedTo = ready.snapshot.metadata.index;
      host.members = ready.snapshot.metadata.confState;
    }
    log.append(ready.entries);
    if (ready.hardState !== undefined) log.hardState = ready.hardState;
    this.send(ready.messagesAfterAppend);
    for (const entry of ready.committedEntries) apply(host, entry);
    host.reads.push(...ready.readStates);
    node.advance();
    return ready;
  }

  /** Replaces what a node has applied of its log by a snapshot. */
  compact(id: NodeId): void {
    const host = this.host(id);
    const snapshot = snapshotOf(host);
    if (snapshot.metadata.index >= host.log.firstIndex()) host.log.compactTo(snapshot);
  }

  /** Puts messages on their way, unless the filter loses them. */
  send(messages: readonly Message[]): void {
    for (const message of messages) {
      this.sent.push(message);
      if (this.filter(message)) this.#inFlight.push(message);
    }
  }

  /** Loses everything from and to these nodes. */
  isolate(...ids: readonly NodeId[]): void {
    this.filter = ({ from, to }) => !ids.includes(from) && !ids.includes(to);
  }

  /** Loses these types only. */
  lose(...types: readonly MessageType[]): void {
    this.filter = ({ type }) => !types.includes(type);
  }

  heal(): void {
    this.filter = () => true;
  }

  /** The entries on a node's disk, as `term:text`. */
  entries(id: NodeId): readonly string[] {
    const { log } = this.host(id);
    const entries = log.entries(log.firstIndex(), log.lastIndex() + 1, Number.POSITIVE_INFINITY) ?? [];
    return entries.map(({ term, data }) => `${term}:${fromUtf8(data)}`);
  }
}

function snapshotOf({ node, log, applied, appliedTo: index, members: confState }: Host): Snapshot {
  const term = log.term(index);
  assert(term !== undefined, `the log of node ${node.id} has no entry ${index}`);
  return { metadata: { index, term, confState }, data: utf8(JSON.stringify(applied)) };
}

function stateOf({ data }: Snapshot): string[] {
  return data.length === 0 ? [] : JSON.parse(fromUtf8(data));
}

function apply(host: Host, entry: Entry): void {
  host.appliedTo = entry.index;
  if (entry.type !== EntryType.normal) host.members = host.node.applyConfEntry(entry);
  else if (entry.data.length > 0) host.applied.push(fromUtf8(entry.data));
}

/** Proposes one entry of this text; the result is the core's. */
export function proposeText(node: RawNode, text: string): ReturnType<RawNode['propose']> {
  return node.propose(utf8(text));
}
