import type { ByteReader } from '@dcache/base';
import { Engine, type Local } from './engine.js';
import { Queue } from './entries.js';
import { StoreError } from './errors.js';
import { MOST_KEY_BYTES, MOST_VALUE_BYTES } from './options.js';
import { corrupt, EntryBit, FrameKind, FrameReader, MAGIC, POLICIES, readPayload, VERSION } from './snapshot-format.js';
import type { StoreRestorer } from './types.js';

/** A value that is still arriving. */
interface Partial {
  readonly bits: number;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly revision: number;
  readonly expiresAtMs: number;
  readonly flags: number;
  received: number;
}

/**
 * Builds a new engine from a snapshot's bytes, entry by entry in the order of the queues, and hands it over at `finish()`
 * only when it has as many entries and the same state hash as the one that was written.
 */
export class SnapshotReader implements StoreRestorer {
  readonly #local: Local;
  readonly #install: (engine: Engine) => void;
  readonly #frames: FrameReader = new FrameReader();
  #engine: Engine | undefined;
  #entriesLeft = 0;
  #partial: Partial | undefined;
  #stage: FrameKind | 'failed' | 'over' | 'empty' = 'empty';

  constructor(local: Local, install: (engine: Engine) => void) {
    this.#local = local;
    this.#install = install;
  }

  write(chunk: Uint8Array): void {
    this.#mustBeOpen();
    try {
      this.#frames.write(chunk, (kind, payload) => this.#take(kind, payload));
    } catch (error) {
      this.abort();
      this.#stage = 'failed';
      throw error;
    }
  }

  finish(): void {
    this.#mustBeOpen();
    const engine = this.#engine;
    const isWhole = this.#stage === FrameKind.end && !this.#frames.isInside;
    this.abort();
    if (!isWhole || engine === undefined) throw corrupt('it ends before its last frame');
    this.#install(engine);
  }

  abort(): void {
    this.#engine = undefined;
    this.#partial = undefined;
    this.#stage = 'over';
  }

  #mustBeOpen(): void {
    if (this.#stage === 'failed') throw new StoreError('closed', 'this restore has failed; begin another');
    if (this.#stage === 'over') throw new StoreError('closed', 'this restore is over; begin another');
  }

  #take(kind: number, payload: Uint8Array): void {
    if (this.#stage === 'empty') {
      if (kind !== FrameKind.header) throw corrupt(`it begins with a frame of kind ${kind}`);
      readPayload(payload, false, (reader) => this.#readHeader(reader));
    } else if (kind === FrameKind.part) {
      this.#takePart(payload);
      return;
    } else {
      if (this.#partial !== undefined) throw corrupt(`a value ends in the middle, before a frame of kind ${kind}`);
      if (kind === FrameKind.header || kind < Number(this.#stage) || this.#stage === FrameKind.end)
        throw corrupt(`a frame of kind ${kind} comes after one of kind ${this.#stage}`);
      if (kind === FrameKind.entries) readPayload(payload, true, (reader) => this.#readEntry(reader));
      else if (kind === FrameKind.ghosts)
        readPayload(payload, true, (reader) => this.#engine!.ghosts.append(reader.u32(), reader.u32()));
      else if (kind === FrameKind.end) readPayload(payload, false, (reader) => this.#readEnd(reader));
      else throw new StoreError('unsupported-snapshot', `the snapshot has a frame of kind ${kind}, known are 1 to 5`);
    }
    this.#stage = kind as FrameKind;
  }

  #readHeader(reader: ByteReader): void {
    const magic = reader.u32();
    if (magic !== MAGIC) throw corrupt(`it begins with 0x${magic.toString(16)}, not with 0x${MAGIC.toString(16)}`);
    const version = reader.u8();
    if (version !== VERSION)
      throw new StoreError('unsupported-snapshot', `the snapshot has format ${version}, known is ${VERSION}`);
    const policy = reader.u8();
    const eviction = POLICIES[policy];
    if (eviction === undefined)
      throw new StoreError('unsupported-snapshot', `the snapshot has eviction policy ${policy}, known are 0 to 3`);
    const settings = {
      eviction,
      maxBytes: reader.varint(),
      maxKeyBytes: reader.varint(),
      maxValueBytes: reader.varint(),
    };
    if (settings.maxKeyBytes > MOST_KEY_BYTES || settings.maxValueBytes > MOST_VALUE_BYTES)
      throw corrupt(`its limits are ${settings.maxKeyBytes} bytes a key and ${settings.maxValueBytes} a value`);
    const nowMs = reader.varint();
    this.#entriesLeft = reader.varint();
    this.#engine = new Engine(settings, this.#local, reader.varint());
    this.#engine.nowMs = nowMs;
  }

  #readEntry(reader: ByteReader): void {
    if (this.#partial !== undefined) throw corrupt('an entry follows one whose value has not come');
    const bits = reader.u8();
    if ((bits & EntryBit.unknown) !== 0) throw corrupt(`an entry has the bits 0x${bits.toString(16)}`);
    const revision = reader.varint();
    const expiresAtMs = (bits & EntryBit.expires) === 0 ? 0 : reader.varint();
    const flags = (bits & EntryBit.flags) === 0 ? 0 : reader.varint();
    const key = reader.bytes();
    const valueBytes = reader.varint();
    const { maxKeyBytes, maxValueBytes } = this.#engine!.settings;
    if (key.length > maxKeyBytes || valueBytes > maxValueBytes || flags > 0xffff_ffff)
      throw corrupt(`an entry has a key of ${key.length} bytes, a value of ${valueBytes} and flags ${flags}`);
    if ((bits & EntryBit.parts) === 0) {
      this.#add(bits, key, reader.raw(valueBytes), revision, expiresAtMs, flags);
      return;
    }
    const value = new Uint8Array(valueBytes);
    this.#partial = { bits, key: key.slice(), value, revision, expiresAtMs, flags, received: 0 };
  }

  #takePart(payload: Uint8Array): void {
    const partial = this.#partial;
    if (partial === undefined || partial.received + payload.length > partial.value.length)
      throw corrupt('a part of a value comes where none is due');
    partial.value.set(payload, partial.received);
    partial.received += payload.length;
    if (partial.received < partial.value.length) return;
    this.#partial = undefined;
    this.#add(partial.bits, partial.key, partial.value, partial.revision, partial.expiresAtMs, partial.flags);
  }

  #add(bits: number, key: Uint8Array, value: Uint8Array, revision: number, expiresAtMs: number, flags: number): void {
    const engine = this.#engine!;
    const hash = this.#local.hash(key, 0, key.length);
    const touches = bits & EntryBit.touches;
    if (this.#entriesLeft-- === 0) throw corrupt('it has more entries than its header says');
    if (engine.has(key, hash)) throw corrupt('a key comes twice');
    if (touches > engine.eviction.mostTouches) throw corrupt(`an entry counts ${touches} touches`);
    const queue = (bits & EntryBit.small) === 0 ? Queue.main : Queue.small;
    if (queue === Queue.small && engine.settings.eviction !== 's3fifo') throw corrupt('an entry is in no queue');
    const id = engine.insert(hash, key, value, revision, expiresAtMs, flags, queue);
    if (touches !== 0) engine.entries.setTouches(id, touches);
    if ((bits & EntryBit.hand) !== 0) engine.eviction.hand = id;
  }

  #readEnd(reader: ByteReader): void {
    const wanted = reader.text();
    if (this.#entriesLeft !== 0) throw corrupt(`${this.#entriesLeft} entries are missing`);
    const got = this.#engine!.stateHash();
    if (got !== wanted) throw corrupt(`its state hash is ${wanted}, what was rebuilt has ${got}`);
  }
}
