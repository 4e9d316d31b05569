import { crc32 } from 'node:zlib';
import { RaftError } from '../errors.js';

/**
 * One file of the log: a header sector, then commit frames one after the other, then zeros. The file has its full size
 * and its header before it gets its name, so a write into it can neither run out of space nor change its length.
 *
 * ```text
 *  0    8         12     16         24        28
 *  +----+---------+------+----------+---------+---------------+ ... +-------------+ ...
 *  |DCRAFTWL|version| salt | sequence | crc32 | zeros to 512  | commit frames     | zeros
 *  | 8      |u32    | u32  | u64      | u32   |               |
 *
 *  commit frame, on a 32-byte boundary, so that its header lies within one sector:
 *  0        4             8        12            16          32
 *  +--------+-------------+--------+-------------+-----------+---------+------+-----------------+
 *  | length | payload crc | number | zero sectors| header crc| payload | 0xdc | zeros to 32     |
 *  | u32    | u32         | u32    | u32         | u32, zeros|         |      |                 |
 * ```
 *
 * At most one frame is not yet acknowledged at any time: the next is written only after the sync of the last. So when
 * the power goes, only the last frame can be torn, and a torn write is seen by its missing sectors, which are still
 * zeros. A frame therefore says how many sectors of its own are all zeros when it is whole. A wrong checksum with more
 * zero sectors than that, and no later frame, is a torn tail: it was never acknowledged, and it is cut. Every other
 * damage is rot, and an error. (A device is taken to write a 512-byte sector whole or not at all.)
 */
export const segmentHeaderBytes = 512;
export const frameOverheadBytes = 33;

const sectorBytes = 512;
const frameAlignment = 32;
const frameHeaderBytes = 32;
const trailer = 0xdc;
const magic = new TextEncoder().encode('DCRAFTWL');
const version = 1;

export interface SegmentHeader {
  /** 1 for the first segment of a log, then one more each. */
  readonly sequence: number;
  /** Random, so that no payload can look like a frame of its own segment. */
  readonly salt: number;
}

/** The first sector of a segment. */
export function encodeSegmentHeader(header: SegmentHeader): Uint8Array {
  const bytes = new Uint8Array(segmentHeaderBytes);
  const view = new DataView(bytes.buffer);
  bytes.set(magic);
  view.setUint32(8, version);
  view.setUint32(12, header.salt);
  view.setUint32(16, Math.floor(header.sequence / 0x1_0000_0000));
  view.setUint32(20, header.sequence >>> 0);
  view.setUint32(24, crc32(bytes.subarray(0, 24)));
  return bytes;
}

/** The header of a segment. Throws a `RaftError` `corrupt`, or `foreign` for another version of the format. */
export function decodeSegmentHeader(bytes: Uint8Array, path: string): SegmentHeader {
  if (bytes.length < segmentHeaderBytes)
    throw new RaftError('corrupt', `${path} has ${bytes.length} bytes; a segment has at least ${segmentHeaderBytes}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (!magic.every((byte, at) => bytes[at] === byte))
    throw new RaftError('corrupt', `${path} at offset 0: not a segment of a log`);
  if (crc32(bytes.subarray(0, 24)) !== view.getUint32(24))
    throw new RaftError('corrupt', `${path} at offset 24: the checksum of the segment header is wrong`);
  if (view.getUint32(8) !== version)
    throw new RaftError('foreign', `${path} has format version ${view.getUint32(8)}; this program knows ${version}`);
  return { salt: view.getUint32(12), sequence: view.getUint32(16) * 0x1_0000_0000 + view.getUint32(20) };
}

/** Bytes that a frame of `payloadBytes` takes in its segment. */
export function frameBytes(payloadBytes: number): number {
  return Math.ceil((frameHeaderBytes + payloadBytes + 1) / frameAlignment) * frameAlignment;
}

/** A frame for `position` of its segment, a multiple of 32, padded to the next. */
export function encodeCommitFrame(
  payload: Uint8Array,
  number: number,
  salt: number,
  position: number,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(frameBytes(payload.length));
  const view = new DataView(bytes.buffer);
  bytes.set(payload, frameHeaderBytes);
  bytes[frameHeaderBytes + payload.length] = trailer;
  view.setUint32(0, payload.length);
  view.setUint32(4, crc32(payload));
  view.setUint32(8, number);
  view.setUint32(12, countZeroSectors(bytes, 0, position, frameHeaderBytes + payload.length + 1));
  view.setUint32(16, headerCrc(bytes, 0, salt));
  return bytes;
}

/** Where the frames of a segment end. */
export interface SegmentEnd {
  /** The position of the next frame. */
  readonly position: number;
  /** The number of the next frame. */
  readonly number: number;
  /** Bytes after `position` that a torn write left behind; to be zeroed before the next write. */
  readonly tornBytes: number;
}

/**
 * Calls `onFrame` for each whole frame in order. Throws a `RaftError` `corrupt` that names the file and the offset for
 * every damage that is not a torn last frame; with `isLast` false, for that too.
 */
export function scanFrames(
  bytes: Uint8Array,
  salt: number,
  isLast: boolean,
  path: string,
  onFrame: (payload: Uint8Array, payloadPosition: number) => void,
): SegmentEnd {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let position = segmentHeaderBytes;
  for (let number = 1; ; number++) {
    const damage = damageAt(bytes, view, position, number, salt);
    if (damage === 'end') return { position, number, tornBytes: 0 };
    if (damage === 'full') return { position, number, tornBytes: 0 };
    if (damage !== undefined) {
      const later = findLaterFrame(bytes, view, position + frameAlignment, number, salt);
      if (!isLast || later !== undefined || !damage.mayBeTorn) {
        const why = later === undefined ? '' : `; frame ${view.getUint32(later + 8)} at offset ${later} is whole`;
        throw new RaftError('corrupt', `${path} at offset ${position}: ${damage.what}${why}`);
      }
      return { position, number, tornBytes: lastNonZero(bytes, position) + 1 - position };
    }
    const length = view.getUint32(position);
    onFrame(
      bytes.subarray(position + frameHeaderBytes, position + frameHeaderBytes + length),
      position + frameHeaderBytes,
    );
    position += frameBytes(length);
  }
}

interface Damage {
  readonly what: string;
  readonly mayBeTorn: boolean;
}

/** What is wrong with the frame at `position`; `end` where zeros begin, `full` where no frame fits any more. */
function damageAt(
  bytes: Uint8Array,
  view: DataView,
  position: number,
  number: number,
  salt: number,
): Damage | 'end' | 'full' | undefined {
  if (position + frameHeaderBytes > bytes.length) return 'full';
  if (isZero(bytes, position, position + frameHeaderBytes)) {
    if (isZero(bytes, position, bytes.length)) return 'end';
    return { what: `the header of frame ${number} is missing`, mayBeTorn: true };
  }
  if (view.getUint32(position + 16) !== headerCrc(bytes, position, salt))
    return { what: `the checksum of the header of frame ${number} is wrong`, mayBeTorn: false };
  const found = view.getUint32(position + 8);
  if (found !== number) return { what: `frame ${found} where ${number} belongs`, mayBeTorn: false };
  const length = view.getUint32(position);
  const end = position + frameHeaderBytes + length + 1;
  if (end > bytes.length)
    return { what: `frame ${number} of ${length} bytes goes beyond the end of the file`, mayBeTorn: false };
  const payload = bytes.subarray(position + frameHeaderBytes, end - 1);
  if (crc32(payload) === view.getUint32(position + 4) && bytes[end - 1] === trailer) return undefined;
  const zeroSectors = countZeroSectors(bytes, position, position, end - position);
  return {
    what: `the checksum of frame ${number} is wrong`,
    mayBeTorn: zeroSectors > view.getUint32(position + 12),
  };
}

/** The place of a whole header of a later frame: proof that the frame before it had been acknowledged. */
function findLaterFrame(
  bytes: Uint8Array,
  view: DataView,
  from: number,
  number: number,
  salt: number,
): number | undefined {
  for (let at = from; at + frameHeaderBytes <= bytes.length; at += frameAlignment) {
    if (view.getUint32(at + 16) === 0 || view.getUint32(at + 8) <= number) continue;
    if (view.getUint32(at + 16) === headerCrc(bytes, at, salt)) return at;
  }
  return undefined;
}

function headerCrc(bytes: Uint8Array, at: number, salt: number): number {
  return crc32(bytes.subarray(at, at + 16), salt);
}

/** Sectors of the file that hold nothing of bytes [start, start + length) but zeros; `start` lies at `position`. */
function countZeroSectors(bytes: Uint8Array, start: number, position: number, length: number): number {
  let count = 0;
  for (let at = 0; at < length; ) {
    const size = Math.min(sectorBytes - ((position + at) % sectorBytes), length - at);
    if (isZero(bytes, start + at, start + at + size)) count++;
    at += size;
  }
  return count;
}

function isZero(bytes: Uint8Array, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (bytes[at] !== 0) return false;
  return true;
}

function lastNonZero(bytes: Uint8Array, from: number): number {
  let at = bytes.length - 1;
  while (at > from && bytes[at] === 0) at--;
  return at;
}
