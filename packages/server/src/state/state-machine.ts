import { assert, ByteReader, BytesError, ByteWriter } from '@dcache/base';
import {
  type Command,
  CommandType,
  type Condition,
  ConditionType,
  type ConfigureCommand,
  type DeleteCommand,
  decodeLogEntry,
  type EntryWrite,
  type Found,
  hasTypePrefix,
  type LoadCommand,
  type Reply,
  ReplyType,
  type SetCommand,
  type SetManyCommand,
  splitTyped,
  takesSession,
} from '@dcache/protocol';
import {
  ConfChangeType,
  type ConfChangeV2,
  type ConfState,
  type StateMachine,
  type StateMachineSnapshot,
} from '@dcache/raft';
import {
  ENTRY_OVERHEAD_BYTES,
  type EvictionPolicy,
  type SetResult,
  Store,
  type StoreOptions,
  type StoreRestorer,
} from '@dcache/store';
import { Directory } from './directory.js';
import { IdempotencyTable } from './idempotency-table.js';
import { SessionTable } from './session-table.js';
import { readSnapshotStream, writeSnapshotStream } from './snapshot-stream.js';

/** 2 added the idempotency keys; 1 is read as having none. */
const snapshotFormat = 2;

/** The longest key that a store takes. */
const maxKeyBytes = 65_536;

/**
 * Entries that one log entry lets expire, or evicts after a limit was lowered, at most: a few milliseconds, however many
 * are due together. The rest is invisible to reads and goes with the next entries. Part of the format: a node that used
 * another number would hold another state.
 */
export const workBudget = 2_000;

/** How the cache is bounded, as the log says and all nodes have it. */
export interface Bounds {
  readonly maxBytes: number;
  readonly eviction: EvictionPolicy;
}

const ok = (revision: number): Reply => ({ type: ReplyType.ok, revision });
const notFound: Reply = { type: ReplyType.notFound, revision: 0 };

/**
 * The replicated cache: bytes -> Command -> Store -> Reply. A pure function of the applied entries, so that any two
 * nodes at the same index hold the same; no clock, no randomness, no option that could differ between nodes.
 */
export class CacheStateMachine implements StateMachine<readonly Reply[]> {
  #store: Store;
  readonly #storeOptions: StoreOptions;
  directory: Directory = new Directory();
  #eviction: EvictionPolicy;
  #sessions = new SessionTable();
  #idempotency = new IdempotencyTable();
  /** Invariant: every applied write took the next number, and no two writes ever share one. */
  #revision = 0;
  /** Log time: the highest stamp applied. */
  #stampMs = 0;
  #confState: ConfState | undefined;
  readonly #onStamp: (stampMs: number) => void;
  readonly #onBounds: (bounds: Bounds) => void;

  constructor(
    options: StoreOptions,
    onStamp: (stampMs: number) => void = () => {},
    onBounds: (bounds: Bounds) => void = () => {},
  ) {
    this.#storeOptions = options;
    this.#eviction = options.eviction ?? 'sieve';
    this.#store = new Store(options);
    this.#onStamp = onStamp;
    this.#onBounds = onBounds;
  }

  /** Another one after a snapshot, or after `configure` on the empty cache: do not keep it. */
  get store(): Store {
    return this.#store;
  }

  get revision(): number {
    return this.#revision;
  }

  get stampMs(): number {
    return this.#stampMs;
  }

  get confState(): ConfState | undefined {
    return this.#confState;
  }

  get sessionCount(): number {
    return this.#sessions.size;
  }

  apply(entry: { readonly data: Uint8Array }): readonly Reply[] {
    const { stampMs, commands } = decodeLogEntry(entry.data);
    const isLater = stampMs > this.#stampMs;
    if (isLater) this.#stampMs = stampMs;
    // Also at the same stamp: what the budget left over before goes on.
    this.store.advance(this.#stampMs, workBudget);
    if (isLater) {
      this.#idempotency.expire(stampMs);
      this.#onStamp(stampMs);
    }
    const replies = new Array<Reply>(commands.length);
    for (let i = 0; i < commands.length; i++) replies[i] = this.#applyOne(commands[i]!);
    return replies;
  }

  applyMembership(change: ConfChangeV2, confState: ConfState): void {
    this.#confState = confState;
    for (const single of change.changes) {
      if (single.type !== ConfChangeType.removeNode && change.context)
        this.directory.learn(single.nodeId, change.context);
    }
    this.directory.retain(
      new Set([...confState.voters, ...confState.learners, ...confState.votersOutgoing, ...confState.learnersNext]),
    );
  }

  /** What the store holds under `key` at the applied stamp. */
  read(key: Uint8Array): Found | undefined {
    const entry = this.store.get(key);
    if (!entry) return undefined;
    const { value, revision, expiresAtMs = 0, flags = 0 } = entry;
    if (hasTypePrefix(flags)) return { ...splitTyped(value), revision, expiresAtMs, flags };
    return { value, revision, expiresAtMs, flags };
  }

  snapshot(): StateMachineSnapshot {
    const header = new ByteWriter();
    header.u8(snapshotFormat).u64(this.#revision).u64(this.#stampMs).text(this.#eviction);
    this.directory.write(header);
    this.#sessions.write(header);
    this.#idempotency.write(header);
    const stored = this.store.snapshot();
    const bytes = header.copy();
    return {
      chunks: () => writeSnapshotStream(bytes, stored.chunks()),
      close: () => stored.close(),
    };
  }

  /** Replaces everything, or nothing where the chunks cannot be read. */
  async restore(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const restorer = this.store.restore();
    let header: Uint8Array | undefined;
    try {
      await readSnapshotStream(
        chunks,
        (bytes) => {
          header = bytes.slice();
        },
        (bytes) => restorer.write(bytes),
      );
      this.#restoreFrom(new ByteReader(header!), restorer);
    } catch (error) {
      restorer.abort();
      throw error;
    }
  }

  #restoreFrom(reader: ByteReader, restorer: StoreRestorer): void {
    const format = reader.u8();
    if (format < 1 || format > snapshotFormat)
      throw new BytesError(
        `snapshot of format ${format}; this version reads formats 1 to ${snapshotFormat}, so a newer one wrote it: start that`,
      );
    const revision = reader.u64();
    const stampMs = reader.u64();
    const eviction = reader.text();
    if (!isEvictionPolicy(eviction)) throw new BytesError(`the snapshot's eviction policy is ${eviction}`);
    const directory = Directory.read(reader);
    const sessions = SessionTable.read(reader);
    const idempotency = format >= 2 ? IdempotencyTable.read(reader) : new IdempotencyTable();
    reader.end();
    restorer.finish();
    this.#revision = revision;
    this.#stampMs = stampMs;
    this.#eviction = eviction;
    this.directory = directory;
    this.#sessions = sessions;
    this.#idempotency = idempotency;
    this.#onStamp(stampMs);
    this.#onBounds({ maxBytes: this.store.stats().maxBytes, eviction });
  }

  /** Equal on any two nodes that applied the same entries; covers all that is replicated. */
  stateHash(): string {
    const rest = new ByteWriter();
    rest.u64(this.#revision).u64(this.#stampMs);
    this.directory.write(rest);
    this.#sessions.write(rest);
    this.#idempotency.write(rest);
    return `${this.store.stateHash()}-${fnv1a(rest.finish()).toString(16).padStart(8, '0')}`;
  }

  #applyOne(command: Command): Reply {
    const session = takesSession(command) ? command.session : undefined;
    if (session) return this.#sessions.once(session, this.#stampMs, () => this.#applyKeyed(command));
    return this.#applyKeyed(command);
  }

  #applyKeyed(command: Command): Reply {
    const idempotency = 'idempotency' in command ? command.idempotency : undefined;
    if (!idempotency) return this.#change(command);
    return this.#idempotency.once(idempotency, this.#stampMs, () => this.#change(command));
  }

  #change(command: Command): Reply {
    switch (command.type) {
      case CommandType.set:
        return this.#set(command);
      case CommandType.delete:
        return this.#delete(command);
      case CommandType.touch:
        for (const key of command.keys) this.store.touch(key);
        return ok(this.#revision);
      case CommandType.openSession:
        this.#sessions.open(++this.#revision, command.ttlMs, this.#stampMs);
        return ok(this.#revision);
      case CommandType.closeSession:
        return this.#sessions.close(command.id) ? ok(++this.#revision) : notFound;
      case CommandType.configure:
        return this.#configure(command);
      case CommandType.setMany:
        return this.#setMany(command);
      case CommandType.load:
        return this.#load(command);
      case CommandType.clear:
        this.store.clear();
        return ok(++this.#revision);
    }
  }

  #set(command: SetCommand): Reply {
    const failed = this.#failedCondition(command.key, command.condition);
    if (failed) return failed;
    const result = this.#putWithRoom(command);
    if (result === 'full') return { type: ReplyType.full, revision: 0 };
    if (result === 'too-large') return { type: ReplyType.tooLarge, revision: 0 };
    return ok(++this.#revision);
  }

  /** Where nothing is evicted, what is due goes before the cache counts as full: it is gone already for every reader. */
  #putWithRoom(entry: EntryWrite): SetResult {
    for (;;) {
      const result = this.#put(entry);
      if (result !== 'full' || !this.#expireMore()) return result;
    }
  }

  /** Lets some more of what is due expire; false where nothing is. */
  #expireMore(): boolean {
    const dueMs = this.store.nextExpiryMs();
    if (dueMs === undefined || dueMs > this.#stampMs) return false;
    this.store.advance(this.#stampMs, workBudget);
    return true;
  }

  #put(entry: EntryWrite): SetResult {
    return this.store.set(entry.key, entry.value, {
      revision: this.#revision + 1,
      expiresAtMs: entry.ttlMs === 0 ? 0 : Math.min(this.#stampMs + entry.ttlMs, Number.MAX_SAFE_INTEGER),
      flags: entry.flags,
    });
  }

  /** All or none: nothing is written before all of it is known to hold and to fit. */
  #setMany(command: SetManyCommand): Reply {
    const { sets } = command;
    const { liveBytes, maxBytes } = this.store.stats();
    let newBytes = 0;
    let oldBytes = 0;
    const counted = new Set<string>();
    for (let i = 0; i < sets.length; i++) {
      const { key, value, condition } = sets[i]!;
      const failed = this.#failedCondition(key, condition);
      if (failed) return { ...failed, count: i };
      newBytes += key.length + value.length + ENTRY_OVERHEAD_BYTES;
      // Together they must fit, or the first would be evicted for the last.
      if (newBytes > maxBytes || key.length > maxKeyBytes) return { type: ReplyType.tooLarge, revision: 0, count: i };
      if (this.#eviction !== 'none') continue;
      const name = Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1');
      const old = counted.has(name) ? undefined : this.store.peekMeta(key);
      counted.add(name);
      if (old) oldBytes += key.length + old.valueBytes + ENTRY_OVERHEAD_BYTES;
    }
    if (this.#eviction === 'none') {
      if (liveBytes - oldBytes + newBytes > maxBytes && this.#expireMore()) return this.#setMany(command);
      if (liveBytes - oldBytes + newBytes > maxBytes) return { type: ReplyType.full, revision: 0, count: 0 };
      // What is replaced makes room first: one set may grow by what another, later one gives back.
      for (const { key } of sets) this.store.delete(key);
    }
    for (const set of sets) {
      const result = this.#put(set);
      assert(result === 'stored', `a set that was seen to fit was ${result}`);
      this.#revision++;
    }
    return ok(this.#revision);
  }

  /** Fills in what is missing: a key that a client wrote meanwhile keeps what the client wrote. */
  #load(command: LoadCommand): Reply {
    let count = 0;
    for (const entry of command.entries) {
      if (this.store.has(entry.key) || this.#putWithRoom(entry) !== 'stored') continue;
      this.#revision++;
      count++;
    }
    return { ...ok(this.#revision), count };
  }

  /** The eviction policy is fixed once there are entries: its order is replicated state that no other policy has. */
  #configure(command: ConfigureCommand): Reply {
    if (command.eviction !== this.#eviction) {
      if (this.store.stats().entries > 0 || !isEvictionPolicy(command.eviction))
        return { type: ReplyType.preconditionFailed, revision: this.#revision };
      this.#eviction = command.eviction;
      this.#store = new Store({ ...this.#storeOptions, eviction: command.eviction });
      this.store.advance(this.#stampMs);
    }
    this.store.setMaxBytes(command.maxBytes, workBudget);
    this.#onBounds({ maxBytes: command.maxBytes, eviction: this.#eviction });
    return ok(++this.#revision);
  }

  #delete(command: DeleteCommand): Reply {
    const failed = this.#failedCondition(command.key, command.condition);
    if (failed) return failed;
    return this.store.delete(command.key) ? ok(++this.#revision) : notFound;
  }

  #failedCondition(key: Uint8Array, condition: Condition | undefined): Reply | undefined {
    if (!condition) return undefined;
    const revision = this.store.peekMeta(key)?.revision ?? 0;
    const holds =
      condition.type === ConditionType.absent
        ? revision === 0
        : condition.type === ConditionType.present
          ? revision !== 0
          : revision === condition.revision;
    return holds ? undefined : { type: ReplyType.preconditionFailed, revision };
  }
}

function isEvictionPolicy(text: string): text is EvictionPolicy {
  return text === 'sieve' || text === 's3fifo' || text === 'fifo' || text === 'none';
}

/** FNV-1a, 32 bits: for comparing, not for keeping out forgers. */
function fnv1a(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
  return hash >>> 0;
}
