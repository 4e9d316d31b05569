const HAS_FLAGS = 1;
const DEAD = 2;

/**
 * An entry's bytes in a segment. Written once and then only read, moved as a whole, or overwritten by a record of the
 * same size and shape.
 *
 * ```
 * varint  key length * 4 + (2 when dead) + (1 if flags follow)
 * varint  value length
 * u32     flags, big-endian; only when they are not 0
 * bytes   key
 * bytes   value
 * ```
 *
 * The dead bit is set when the record is freed, for who walks the segment; readers of a view do not look at it.
 * What changes without the value (revision, place in the queue, expiry) is in the entry's row, not here.
 */
export class RecordView {
  keyAt: number = 0;
  keyBytes: number = 0;
  flags: number = 0;
  isDead: boolean = false;
  valueAt: number = 0;
  valueBytes: number = 0;
  /** Where the next record begins. */
  end: number = 0;

  /** Points this view at the record at `at`; reading allocates nothing. */
  read(bytes: Uint8Array, at: number): void {
    let byte = bytes[at++]!;
    let head = byte & 0x7f;
    for (let shift = 7; byte >= 0x80; shift += 7) {
      byte = bytes[at++]!;
      head |= (byte & 0x7f) << shift;
    }
    byte = bytes[at++]!;
    let valueBytes = byte & 0x7f;
    for (let scale = 0x80; byte >= 0x80; scale *= 0x80) {
      byte = bytes[at++]!;
      valueBytes += (byte & 0x7f) * scale;
    }
    this.isDead = (head & DEAD) !== 0;
    this.flags = 0;
    if ((head & HAS_FLAGS) !== 0) {
      this.flags = ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
      at += 4;
    }
    this.keyAt = at;
    this.keyBytes = head >>> 2;
    this.valueAt = at + this.keyBytes;
    this.valueBytes = valueBytes;
    this.end = this.valueAt + valueBytes;
  }
}

/** Bytes that a record takes. */
export function recordBytes(keyBytes: number, valueBytes: number, flags: number): number {
  return varintBytes(keyBytes * 4) + varintBytes(valueBytes) + (flags === 0 ? 0 : 4) + keyBytes + valueBytes;
}

/** Writes a record of `recordBytes(…)` bytes at `at`. */
export function writeRecord(bytes: Uint8Array, at: number, key: Uint8Array, value: Uint8Array, flags: number): void {
  at = writeVarint(bytes, at, key.length * 4 + (flags === 0 ? 0 : HAS_FLAGS));
  at = writeVarint(bytes, at, value.length);
  if (flags !== 0) {
    bytes[at++] = flags >>> 24;
    bytes[at++] = flags >>> 16;
    bytes[at++] = flags >>> 8;
    bytes[at++] = flags;
  }
  copyInto(bytes, at, key);
  copyInto(bytes, at + key.length, value);
}

/** Sets the dead bit of the record at `at`. */
export function markDead(bytes: Uint8Array, at: number): void {
  bytes[at]! |= DEAD;
}

/** Whether `key` lies at `at`. */
export function equalAt(bytes: Uint8Array, at: number, key: Uint8Array): boolean {
  for (let i = 0; i < key.length; i++) if (bytes[at + i] !== key[i]) return false;
  return true;
}

/** Below this many bytes a loop is faster than the call of `TypedArray.set`, and it makes no view. */
const LOOP_BYTES = 48;

function copyInto(target: Uint8Array, at: number, source: Uint8Array): void {
  if (source.length > LOOP_BYTES) target.set(source, at);
  else for (let i = 0; i < source.length; i++) target[at + i] = source[i]!;
}

/** Copies `length` bytes between arrays; short ones without making an object. */
export function copyBytes(source: Uint8Array, from: number, target: Uint8Array, to: number, length: number): void {
  if (length > LOOP_BYTES) target.set(source.subarray(from, from + length), to);
  else for (let i = 0; i < length; i++) target[to + i] = source[from + i]!;
}

function varintBytes(value: number): number {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : value < 0x1000_0000 ? 4 : 5;
}

function writeVarint(bytes: Uint8Array, at: number, value: number): number {
  while (value >= 0x80) {
    bytes[at++] = (value & 0x7f) | 0x80;
    value = Math.floor(value / 0x80);
  }
  bytes[at++] = value;
  return at;
}
