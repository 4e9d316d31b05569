import { assert, ByteReader, ByteWriter } from '@dcache/base';
import { StoreError } from './errors.js';
import { type EvictionPolicy, type ResolvedOptions, resolveOptions, type StoreOptions } from './options.js';
import { Model, type ModelEntry } from './testing/model.js';
import type {
  Entry,
  EntryMeta,
  ScanOptions,
  ScanPage,
  SetMeta,
  SetResult,
  StoreRestorer,
  StoreSnapshot,
  StoreStats,
} from './types.js';

const policies: readonly EvictionPolicy[] = ['sieve', 's3fifo', 'fifo', 'none'];
const CHUNK_BYTES = 256 * 1024;

/** The cache's memory on the final interface; the insides are still plain objects. */
export class Store {
  readonly #options: ResolvedOptions;
  #model: Model;
  #touched: Set<string> = new Set();

  constructor(options: StoreOptions = {}) {
    this.#options = resolveOptions(options);
    this.#model = this.#newModel(this.#options.eviction, this.#options.maxBytes);
  }

  get nowMs(): number {
    return this.#model.nowMs;
  }

  set(key: Uint8Array, value: Uint8Array, meta: SetMeta): SetResult {
    const { revision, expiresAtMs = 0, flags = 0 } = meta;
    assert(Number.isSafeInteger(revision) && revision >= 0, `a revision is from 0 to 2^53-1, got ${revision}`);
    assert(Number.isSafeInteger(expiresAtMs) && expiresAtMs >= 0, `a time is from 0 to 2^53-1, got ${expiresAtMs}`);
    return this.#model.set(text(key), value.slice(), { revision, expiresAtMs, flags });
  }

  get(key: Uint8Array): Entry | undefined {
    const entry = this.#read(key);
    return entry && { ...metaOf(entry), value: entry.value.slice() };
  }

  getInto(key: Uint8Array, target: Uint8Array, offset = 0): number {
    const entry = this.#read(key);
    if (entry === undefined) return -1;
    if (entry.value.length <= target.length - offset) target.set(entry.value, offset);
    return entry.value.length;
  }

  peekMeta(key: Uint8Array): EntryMeta | undefined {
    const entry = this.#model.get(text(key));
    return entry && metaOf(entry);
  }

  has(key: Uint8Array): boolean {
    return this.#model.get(text(key)) !== undefined;
  }

  delete(key: Uint8Array): boolean {
    return this.#model.delete(text(key));
  }

  clear(): void {
    this.#model.clear();
  }

  /** Counts an access, as replicated state. */
  touch(key: Uint8Array): void {
    this.#model.touch(text(key));
  }

  /** Keys read since the last call whose touch would change something; local, not replicated. */
  takeTouched(limit: number = Number.POSITIVE_INFINITY): Uint8Array[] {
    const keys = [...this.#touched].filter((key) => this.#model.get(key) !== undefined).slice(0, limit);
    this.#touched.clear();
    return keys.map((key) => new Uint8Array(Buffer.from(key, 'latin1')));
  }

  advance(nowMs: number, budget?: number): number {
    return this.#model.advance(nowMs, budget);
  }

  nextExpiryMs(): number | undefined {
    return this.#model.nextExpiryMs();
  }

  setMaxBytes(maxBytes: number): number {
    return this.#model.setMaxBytes(maxBytes);
  }

  scan(options: ScanOptions): ScanPage {
    const prefix = text(options.prefix ?? new Uint8Array());
    const all = [...this.#model.entries.keys()].filter((key) => key.startsWith(prefix)).sort();
    const after = options.cursor;
    const rest = all.filter((key) => (after === undefined || key > after) && this.#model.get(key) !== undefined);
    const keys = rest.slice(0, options.limit);
    return {
      entries: keys.map((key) => ({
        key: new Uint8Array(Buffer.from(key, 'latin1')),
        ...metaOf(this.#model.get(key)!),
      })),
      cursor: rest.length > keys.length ? keys.at(-1) : undefined,
    };
  }

  snapshot(): StoreSnapshot {
    const bytes = encode(this.#model);
    return {
      *chunks() {
        for (let at = 0; at < bytes.length; at += CHUNK_BYTES) yield bytes.slice(at, at + CHUNK_BYTES);
      },
      close: () => {},
    };
  }

  restore(): StoreRestorer {
    const parts: Uint8Array[] = [];
    return {
      write: (chunk) => void parts.push(chunk.slice()),
      finish: () => {
        try {
          this.#model = decode(Buffer.concat(parts), (eviction, maxBytes) => this.#newModel(eviction, maxBytes));
        } catch (cause) {
          throw new StoreError('corrupt-snapshot', `the snapshot cannot be read: ${String(cause)}`, { cause });
        }
      },
      abort: () => void parts.splice(0),
    };
  }

  stateHash(): string {
    let hash = 0x811c9dc5;
    for (const byte of encode(this.#model)) hash = Math.imul(hash ^ byte, 0x01000193);
    return (hash >>> 0).toString(16).padStart(8, '0');
  }

  stats(): StoreStats {
    const model = this.#model;
    const liveBytes = model.liveBytes();
    return {
      entries: model.entries.size,
      expiringEntries: [...model.entries.values()].filter((entry) => entry.expiresAtMs !== 0).length,
      liveBytes,
      maxBytes: model.maxBytes,
      allocatedBytes: liveBytes,
      evictions: model.evictions,
      expirations: model.expirations,
    };
  }

  #read(key: Uint8Array): ModelEntry | undefined {
    const entry = this.#model.get(text(key));
    if (entry !== undefined && this.#touched.size < 1024) this.#touched.add(entry.key);
    return entry;
  }

  #newModel(eviction: EvictionPolicy, maxBytes: number): Model {
    const model = new Model(eviction, maxBytes);
    model.maxKeyBytes = this.#options.maxKeyBytes;
    model.maxValueBytes = this.#options.maxValueBytes;
    return model;
  }
}

function text(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
}

function metaOf({ revision, expiresAtMs, flags, value }: ModelEntry): EntryMeta {
  return { revision, expiresAtMs, flags, valueBytes: value.length };
}

function encode(model: Model): Uint8Array {
  const writer = new ByteWriter();
  writer.u8(policies.indexOf(model.eviction)).varint(model.maxBytes).varint(model.nowMs);
  for (const queue of [model.small, model.main]) {
    writer.varint(queue.length);
    for (const key of queue) {
      const entry = model.entries.get(key)!;
      writer.bytes(Buffer.from(key, 'latin1')).bytes(entry.value).varint(entry.revision);
      writer.varint(entry.expiresAtMs).varint(entry.flags).u8(entry.touches);
    }
  }
  writer.varint(model.ghosts.length);
  for (const ghost of model.ghosts) writer.u8(ghost === null ? 0 : 1).bytes(Buffer.from(ghost ?? '', 'latin1'));
  writer.u8(model.hand === undefined ? 0 : 1).bytes(Buffer.from(model.hand ?? '', 'latin1'));
  return writer.finish();
}

function decode(bytes: Uint8Array, create: (eviction: EvictionPolicy, maxBytes: number) => Model): Model {
  const reader = new ByteReader(bytes);
  const eviction = policies[reader.u8()];
  assert(eviction !== undefined, 'an unknown policy');
  const model = create(eviction, reader.varint());
  model.nowMs = reader.varint();
  const key = (): string => text(reader.bytes());
  for (const queue of [model.small, model.main]) {
    for (let left = reader.varint(); left > 0; left--) {
      const entry: ModelEntry = {
        key: key(),
        value: reader.bytes().slice(),
        revision: reader.varint(),
        expiresAtMs: reader.varint(),
        flags: reader.varint(),
        touches: reader.u8(),
      };
      queue.push(entry.key);
      model.entries.set(entry.key, entry);
    }
  }
  for (let left = reader.varint(); left > 0; left--) {
    const present = reader.u8() === 1;
    const ghost = key();
    model.ghosts.push(present ? ghost : null);
  }
  const hasHand = reader.u8() === 1;
  const hand = key();
  if (hasHand) model.hand = hand;
  reader.end();
  return model;
}
