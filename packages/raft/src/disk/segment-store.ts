import { assert, type Clock, type Logger, type Random } from '@dcache/base';
import { RaftError } from '../errors.js';
import type { DiskFile, FileSystem } from './file-system.js';
import {
  decodeSegmentHeader,
  encodeCommitFrame,
  encodeSegmentHeader,
  frameBytes,
  frameOverheadBytes,
  scanFrames,
  segmentHeaderBytes,
} from './segment.js';

/** One file of the log that is there. */
export interface Segment {
  readonly sequence: number;
  readonly path: string;
  readonly file: DiskFile;
  readonly size: number;
  readonly salt: number;
  /** The highest index that was ever written to it. */
  maxIndex: number;
  /** Whether it holds something durable, so that it can stand without those before it. */
  hasFrame: boolean;
}

export interface SegmentStoreOptions {
  readonly fileSystem: FileSystem;
  readonly directory: string;
  readonly segmentBytes: number;
  readonly random: Random;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A header and zeros that wait to be the next segment. */
interface Spare {
  readonly path: string;
  readonly file: DiskFile;
  readonly size: number;
  readonly salt: number;
}

/** A full disk is tried again after this time, in milliseconds. */
const retryMs = 500;
const zeros = new Uint8Array(1024 * 1024);

/**
 * The files of the log, oldest first. The last is written to; the next is made and filled with zeros ahead of time, so
 * that a full disk shows while there is still room for what is under way: then `isFull` is true until space returns,
 * and only a write that needs the next file waits.
 */
export class SegmentStore {
  readonly #options: SegmentStoreOptions;
  readonly #segments: Segment[] = [];
  #position = 0;
  #number = 1;
  #spare: Promise<Spare> | undefined;
  #spareCount = 0;
  /** Whether a write may wait for space: not before the log is open, and not while it closes. */
  #maySpaceBeAwaited = false;
  /** Wakes what waits for space. */
  readonly #waiting: Set<() => void> = new Set();
  /** Writes that failed for want of space and were not done since. */
  #starved = 0;
  #removing: Promise<void> = Promise.resolve();

  constructor(options: SegmentStoreOptions) {
    this.#options = options;
  }

  /** Whether the next segment cannot be made for want of space. */
  get isFull(): boolean {
    return this.#starved > 0;
  }

  /** The segment that is written to; undefined before the first. */
  get current(): Segment | undefined {
    return this.#segments.at(-1);
  }

  /** Bytes of the longest payload that the current segment still takes. */
  get room(): number {
    const current = this.current;
    return current === undefined ? 0 : current.size - this.#position - frameOverheadBytes;
  }

  get(sequence: number): Segment {
    const segment = this.#segments[sequence - this.#segments[0]!.sequence];
    assert(segment !== undefined, `segment ${sequence} is not there`);
    return segment;
  }

  /**
   * Reads all segments of the folder and calls `onFrame` for each frame. A torn last frame is erased. Rejects with a
   * `RaftError` `corrupt` for every other damage. Makes the first segment of a new log.
   */
  async recover(onFrame: (segment: Segment, payload: Uint8Array, position: number) => void): Promise<void> {
    const { fileSystem, directory } = this.#options;
    const names = await fileSystem.list(directory);
    for (const name of names) if (name.startsWith('spare-')) await fileSystem.remove(`${directory}/${name}`);
    const sequences = names.flatMap((name) => parseSegmentName(name) ?? []).sort((a, b) => a - b);
    for (const [at, sequence] of sequences.entries()) {
      const before = sequences[at - 1];
      if (before !== undefined && sequence !== before + 1)
        throw new RaftError('corrupt', `${directory}: ${segmentName(before + 1)} is missing`);
      await this.#recoverSegment(sequence, at === sequences.length - 1, onFrame);
    }
    if (this.current === undefined) await this.roll(0);
    this.#maySpaceBeAwaited = true;
    this.#prepareSpare();
  }

  /** Writes one frame into the current segment; resolves with where its payload is, when it is durable. */
  async write(
    payload: Uint8Array,
    maxIndex: number,
  ): Promise<{ readonly segment: Segment; readonly position: number }> {
    const segment = this.current;
    assert(segment !== undefined && payload.length <= this.room, 'the current segment has no room for this frame');
    const position = this.#position;
    const frame = encodeCommitFrame(payload, this.#number, segment.salt, position);
    await this.#whenSpace(() => segment.file.writeDurably(frame, position));
    this.#position += frameBytes(payload.length);
    this.#number++;
    segment.maxIndex = Math.max(segment.maxIndex, maxIndex);
    segment.hasFrame = true;
    return { segment, position: position + frameOverheadBytes - 1 };
  }

  /** Makes the next segment the current one; it takes a payload of `payloadBytes` at least. May wait for space. */
  async roll(payloadBytes: number): Promise<void> {
    const { fileSystem, directory, segmentBytes } = this.#options;
    const neededBytes = segmentHeaderBytes + frameBytes(payloadBytes);
    let spare = await (this.#spare ?? this.#makeSpare(Math.max(segmentBytes, neededBytes)));
    this.#spare = undefined;
    if (spare.size < neededBytes) {
      await spare.file.close();
      await fileSystem.remove(spare.path);
      spare = await this.#makeSpare(neededBytes);
    }
    const sequence = this.#nextSequence;
    const path = `${directory}/${segmentName(sequence)}`;
    await fileSystem.rename(spare.path, path);
    await fileSystem.syncDirectory(directory);
    const { file, size, salt } = spare;
    this.#segments.push({ sequence, path, file, size, salt, maxIndex: 0, hasFrame: false });
    this.#position = segmentHeaderBytes;
    this.#number = 1;
    if (this.#maySpaceBeAwaited) this.#prepareSpare();
  }

  /** Removes segments from the front that hold nothing above `index`. */
  removeUpTo(index: number): void {
    const { fileSystem, logger } = this.#options;
    while (this.#segments.length > 1 && this.#segments[1]!.hasFrame && this.#segments[0]!.maxIndex <= index) {
      const { file, path } = this.#segments.shift()!;
      this.#removing = this.#removing
        .then(async () => {
          await file.close();
          await fileSystem.remove(path);
        })
        // What stays behind costs space and is removed after the next start.
        .catch((error: unknown) => logger.warn({ path, err: error }, 'a segment could not be removed'));
    }
  }

  /** Whether no segment before it is there. */
  isOldest(segment: Segment): boolean {
    return this.#segments[0] === segment;
  }

  /** From now on, a want of space is an error at once. */
  stopWaiting(): void {
    this.#maySpaceBeAwaited = false;
    for (const wake of this.#waiting) wake();
  }

  /** Only after `stopWaiting`, and when nothing is being written. */
  async close(): Promise<void> {
    const spare = await this.#spare?.catch(() => undefined);
    await spare?.file.close();
    if (spare !== undefined) await this.#options.fileSystem.remove(spare.path).catch(() => undefined);
    await this.#removing;
    for (const { file } of this.#segments) await file.close();
  }

  async #recoverSegment(
    sequence: number,
    isLast: boolean,
    onFrame: (segment: Segment, payload: Uint8Array, position: number) => void,
  ): Promise<void> {
    const { fileSystem, directory } = this.#options;
    const path = `${directory}/${segmentName(sequence)}`;
    const file = await fileSystem.open(path, 'write');
    try {
      const size = await file.size();
      const bytes = new Uint8Array(size);
      await file.read(bytes, 0);
      const header = decodeSegmentHeader(bytes, path);
      if (header.sequence !== sequence)
        throw new RaftError('corrupt', `${path} at offset 16: the header says segment ${header.sequence}`);
      const segment = { sequence, path, file, size, salt: header.salt, maxIndex: 0, hasFrame: false };
      this.#segments.push(segment);
      const end = scanFrames(bytes, header.salt, isLast, path, (payload, position) =>
        onFrame(segment, payload, position),
      );
      segment.hasFrame = end.number > 1;
      this.#position = end.position;
      this.#number = end.number;
      if (end.tornBytes === 0) return;
      this.#options.logger.warn({ path, offset: end.position, bytes: end.tornBytes }, 'a torn last frame was cut');
      await file.write(new Uint8Array(end.tornBytes), end.position);
      await file.sync();
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  get #nextSequence(): number {
    return (this.current?.sequence ?? 0) + 1;
  }

  #prepareSpare(): void {
    this.#spare = this.#makeSpare(this.#options.segmentBytes);
    // A failure is met by whoever needs the spare.
    this.#spare.catch(() => undefined);
  }

  async #makeSpare(size: number): Promise<Spare> {
    const { fileSystem, directory, random } = this.#options;
    const path = `${directory}/spare-${++this.#spareCount}.tmp`;
    const salt = random.below(2 ** 32);
    const header = encodeSegmentHeader({ sequence: this.#nextSequence, salt });
    return this.#whenSpace(async () => {
      const file = await fileSystem.open(path, 'create');
      try {
        for (let at = 0; at < size; at += zeros.length) await file.write(zeros.subarray(0, size - at), at);
        await file.write(header, 0);
        await file.sync();
        return { path, file, size, salt };
      } catch (error) {
        await file.close();
        await fileSystem.remove(path);
        throw error;
      }
    });
  }

  /** Runs `write` until it does not fail for want of space. */
  async #whenSpace<T>(write: () => Promise<T>): Promise<T> {
    const { logger, directory } = this.#options;
    let isStarved = false;
    try {
      for (;;) {
        try {
          const result = await write();
          if (isStarved && this.#starved === 1) logger.info({ directory }, 'the disk takes the log again');
          return result;
        } catch (error) {
          const { code } = error as { code?: string };
          if ((code !== 'ENOSPC' && code !== 'EDQUOT') || !this.#maySpaceBeAwaited) throw error;
          if (this.#starved === 0) logger.error({ directory }, 'the disk is full');
          if (!isStarved) this.#starved++;
          isStarved = true;
          await this.#wait();
        }
      }
    } finally {
      if (isStarved) this.#starved--;
    }
  }

  async #wait(): Promise<void> {
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        cancel();
        this.#waiting.delete(wake);
        resolve();
      };
      const cancel = this.#options.clock.after(retryMs, wake);
      this.#waiting.add(wake);
    });
  }
}

/** The name of a segment; names sort by sequence. */
export function segmentName(sequence: number): string {
  return `log-${String(sequence).padStart(16, '0')}.wal`;
}

function parseSegmentName(name: string): number | undefined {
  const match = /^log-(\d{16})\.wal$/.exec(name);
  return match === null ? undefined : Number(match[1]);
}
