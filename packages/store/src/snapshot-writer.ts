import { ByteWriter } from '@dcache/base';
import type { EngineView } from './engine.js';
import { Bit, Queue } from './entries.js';
import { StoreError } from './errors.js';
import { RecordView } from './record.js';
import {
  CHUNK_BYTES,
  EntryBit,
  encodeFrame,
  FrameKind,
  MAGIC,
  MOST_WHOLE_VALUE_BYTES,
  POLICIES,
  VERSION,
} from './snapshot-format.js';
import type { StoreSnapshot } from './types.js';

/**
 * Writes a view out, one chunk for each `next()`. The view does not change while writes go on (see `Epochs`), so this is
 * a plain walk along the queues. Memory: one chunk, and what the view keeps alive, which is at most the segments and rows
 * that were there when it was opened.
 */
export class SnapshotWriter implements StoreSnapshot {
  readonly #view: EngineView;
  readonly #writer: ByteWriter = new ByteWriter(CHUNK_BYTES + MOST_WHOLE_VALUE_BYTES);
  #isUsed = false;
  #isClosed = false;

  constructor(view: EngineView) {
    this.#view = view;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#view.close();
  }

  *chunks(): Generator<Uint8Array, void, undefined> {
    if (this.#isUsed || this.#isClosed)
      throw new StoreError('closed', 'a snapshot gives its chunks once, and none after close()');
    this.#isUsed = true;
    try {
      for (const chunk of this.#frames()) {
        yield chunk;
        if (this.#isClosed) throw new StoreError('closed', 'the snapshot was closed while its chunks were read');
      }
    } finally {
      this.close();
    }
  }

  *#frames(): Generator<Uint8Array, void, undefined> {
    const writer = this.#writer;
    this.#writeHeader();
    yield this.#frame(FrameKind.header);
    for (const queue of [Queue.small, Queue.main] as const) {
      for (let id = this.#view.entries.oldest[queue]; id !== 0; id = this.#view.entries.newer(id)) {
        const value = this.#writeEntry(id);
        if (value === undefined && writer.length < CHUNK_BYTES) continue;
        yield this.#frame(FrameKind.entries);
        if (value === undefined) continue;
        for (let at = 0; at < value.length; at += CHUNK_BYTES)
          yield encodeFrame(FrameKind.part, value.subarray(at, at + CHUNK_BYTES));
      }
    }
    if (writer.length > 0) yield this.#frame(FrameKind.entries);
    const [from, to] = this.#view.ghostRange;
    for (let place = from; place < to; place++) {
      const [a, b] = this.#view.ghostAt(place);
      writer.u32(a).u32(b);
      if (writer.length >= CHUNK_BYTES) yield this.#frame(FrameKind.ghosts);
    }
    if (writer.length > 0) yield this.#frame(FrameKind.ghosts);
    writer.text(this.#view.stateHash);
    yield this.#frame(FrameKind.end);
  }

  #frame(kind: FrameKind): Uint8Array {
    const frame = encodeFrame(kind, this.#writer.finish());
    this.#writer.reset();
    return frame;
  }

  #writeHeader(): void {
    const { settings, nowMs, entries, ghostRange } = this.#view;
    this.#writer.u32(MAGIC).u8(VERSION).u8(POLICIES.indexOf(settings.eviction));
    this.#writer.varint(settings.maxBytes).varint(settings.maxKeyBytes).varint(settings.maxValueBytes);
    this.#writer
      .varint(nowMs)
      .varint(entries.counts[0] + entries.counts[1])
      .varint(ghostRange[0]);
  }

  /** Returns the value when it is too large to travel in the entry. */
  #writeEntry(id: number): Uint8Array | undefined {
    const { entries, segments, hand, timeMs } = this.#view;
    const record = new RecordView();
    const bytes = segments[entries.segment(id)]!;
    record.read(bytes, entries.offset(id));
    const bits = entries.bits(id);
    const expires = (bits & Bit.expires) !== 0;
    const inParts = record.valueBytes > MOST_WHOLE_VALUE_BYTES;
    this.#writer
      .u8(
        (bits & Bit.touches) |
          ((bits & Bit.small) === 0 ? 0 : EntryBit.small) |
          (id === hand ? EntryBit.hand : 0) |
          (expires ? EntryBit.expires : 0) |
          (record.flags === 0 ? 0 : EntryBit.flags) |
          (inParts ? EntryBit.parts : 0),
      )
      .varint(entries.revision(id));
    if (expires) this.#writer.varint(timeMs(id));
    if (record.flags !== 0) this.#writer.varint(record.flags);
    const value = bytes.subarray(record.valueAt, record.end);
    this.#writer.bytes(bytes.subarray(record.keyAt, record.valueAt)).varint(record.valueBytes);
    if (inParts) return value;
    this.#writer.raw(value);
    return undefined;
  }
}
