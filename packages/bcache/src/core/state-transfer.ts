import { ByteReader, BytesError, ByteWriter } from '@dcache/base';
import type { Change } from './change.js';
import { readChange, writeChange } from './change-codec.js';
import type { Grave, Holdings } from './holdings.js';
import type { Message, MessageType, PositionEntry } from './message.js';

/** Bytes of one chunk: small, so that building or merging one delays nothing else by more than a fraction of a ms. */
const chunkBytes = 64 * 1024;
/** Chunks under way to one receiver before it has to ask for more. */
const window = 8;
const maxOrigins = 100_000;

const part = { change: 0, grave: 1 } as const;

/**
 * The giving side of a full state. A chunk is parts until its end:
 *
 * ```
 * u8 0, varint origin index (the next new one: and text), change   a record; its run starts anew
 * u8 1, f64 tag, varint stamp, u32 rank                            a version of a key no longer held
 * ```
 */
export class StateDonor {
  readonly id: number;
  readonly to: string;
  readonly #records: Iterator<Change>;
  readonly #graves: Iterator<Grave>;
  readonly #origins = new Map<string, number>();
  #credit = window;
  /** Place of the next chunk; the beginning was 0. */
  index = 1;
  /** Monotonic time of the receiver's last sign of life. */
  heardAtMs: number;

  constructor(id: number, to: string, holdings: Holdings, nowMs: number) {
    this.id = id;
    this.to = to;
    this.#records = holdings.snapshot();
    this.#graves = holdings.graves()[Symbol.iterator]();
    this.heardAtMs = nowMs;
  }

  get mayGive(): boolean {
    return this.#credit > 0;
  }

  more(nowMs: number): void {
    this.#credit++;
    this.heardAtMs = nowMs;
  }

  /** The next chunk, or undefined at the end. */
  chunk(): Uint8Array | undefined {
    const writer = new ByteWriter(chunkBytes + 4096);
    // Graves go first, so that nothing older than they know is taken from elsewhere meanwhile.
    while (writer.length < chunkBytes) {
      const next = this.#graves.next();
      if (next.done) break;
      writer.u8(part.grave).f64(next.value[0]).varint(next.value[1]).u32(next.value[2]);
    }
    while (writer.length < chunkBytes) {
      const next = this.#records.next();
      if (next.done) break;
      writer.u8(part.change);
      this.#writeOrigin(writer, next.value.origin);
      writeChange(writer, { dot: 0, space: undefined }, next.value);
    }
    if (writer.length === 0) return undefined;
    this.#credit--;
    return writer.finish();
  }

  #writeOrigin(writer: ByteWriter, origin: string): void {
    const known = this.#origins.get(origin);
    if (known !== undefined) {
      writer.varint(known);
      return;
    }
    writer.varint(this.#origins.size).text(origin);
    this.#origins.set(origin, this.#origins.size);
  }
}

export type StatePart = Extract<
  Message,
  { readonly type: typeof MessageType.stateBegin | typeof MessageType.stateChunk | typeof MessageType.stateEnd }
>;

/** The taking side of a full state. */
export class StateReceiver {
  readonly id: number;
  readonly from: string;
  readonly #origins: string[] = [];
  /** What this node held at the start and the donor has not named; undefined until the donor has begun. */
  #unnamed: Map<string, readonly [space: string, key: string]> | undefined;
  /** Dot of each origin up to which the donor had seen it at the start. */
  readonly donorSeen: Map<string, number> = new Map();
  /** The donor's positions at the start; taken over at the end. */
  readonly positions: PositionEntry[] = [];
  heardAtMs: number;
  records = 0;
  /** Place of the next part to take; those that come early wait for it. */
  #next = 0;
  readonly #early = new Map<number, StatePart>();

  constructor(id: number, from: string, nowMs: number) {
    this.id = id;
    this.from = from;
    this.heardAtMs = nowMs;
  }

  /** The parts that are due now, in order, once this one has come. */
  *due(index: number, part: StatePart): Generator<StatePart> {
    if (index < this.#next || index > this.#next + window + 1) return;
    this.#early.set(index, part);
    for (;;) {
      const next = this.#early.get(this.#next);
      if (next === undefined) return;
      this.#early.delete(this.#next++);
      yield next;
    }
  }

  begin(holdings: Holdings): void {
    this.#unnamed = new Map();
    for (const name of holdings.keys()) this.#unnamed.set(`${name[0]}\0${name[1]}`, name);
  }

  /** Hands each record of a chunk to `take`, each grave to `bury`. */
  read(body: Uint8Array, take: (change: Change) => void, bury: (grave: Grave) => void): void {
    const reader = new ByteReader(body);
    while (reader.remaining > 0) {
      const kind = reader.u8();
      if (kind === part.grave) bury([reader.f64(), reader.varint(), reader.u32()]);
      else if (kind === part.change) {
        const origin = this.#readOrigin(reader);
        const change = readChange(reader, { dot: 0, space: undefined }, origin);
        this.#unnamed?.delete(`${change.space}\0${change.key}`);
        this.records++;
        take(change);
      } else throw new BytesError(`a state has the unknown part ${kind}`);
    }
  }

  /** Drops what the donor has seen and does not hold any more: it was deleted, however long ago. */
  end(holdings: Holdings): void {
    const isSeen = (origin: string, dot: number): boolean => dot <= (this.donorSeen.get(origin) ?? 0);
    for (const [space, key] of this.#unnamed?.values() ?? []) holdings.dropIf(space, key, isSeen);
    holdings.dropOutdated();
    holdings.dropUntravelled();
  }

  #readOrigin(reader: ByteReader): string {
    const index = reader.varint();
    if (index < this.#origins.length) return this.#origins[index]!;
    if (index !== this.#origins.length || index >= maxOrigins)
      throw new BytesError(`origin ${index} named after ${this.#origins.length}`);
    const origin = reader.text();
    this.#origins.push(origin);
    return origin;
  }
}
