import { crc32 } from 'node:zlib';
import { ByteReader, ByteWriter } from '@dcache/base';
import { decoding, readSnapshotMetadata, writeSnapshotMetadata } from '../codec.js';
import type { SnapshotMetadata } from '../core/message.js';
import { RaftError } from '../errors.js';
import type { SnapshotFile, StoredSnapshot } from '../storage.js';
import type { DiskFile, FileSystem } from './file-system.js';

/**
 * A snapshot on disk. It is written under another name, synced, and only then gets its own, so that a file of that name
 * is always whole; a checksum that is wrong is rot.
 *
 * ```text
 *  "DCRAFTSN" | u32 version | u32 length | metadata | u32 crc32 of the metadata
 *  then chunks:  u32 length | u32 crc32 | bytes
 *  then the end: u32 0      | u32 crc32 | u64 bytes of all chunks (the checksum is over these eight)
 * ```
 */
const magic = new TextEncoder().encode('DCRAFTSN');
const version = 1;
const maxChunkBytes = 1024 * 1024;
/** So much is written between two syncs, so that the last one does not hold up those of the log. */
const syncEveryBytes = 8 * 1024 * 1024;

/** The name of a finished snapshot; names sort by index. */
export function snapshotName({ index, term }: SnapshotMetadata): string {
  return `snapshot-${String(index).padStart(16, '0')}-${term}.snap`;
}

/** Index and term in the name of a finished snapshot, or undefined for another name. */
export function parseSnapshotName(name: string): { readonly index: number; readonly term: number } | undefined {
  const match = /^snapshot-(\d{16})-(\d+)\.snap$/.exec(name);
  return match === null ? undefined : { index: Number(match[1]), term: Number(match[2]) };
}

/** Begins a snapshot under the name `temporary`. `onFinish` runs once the file is synced, and gives it its name. */
export async function createSnapshotFile(
  fileSystem: FileSystem,
  directory: string,
  temporary: string,
  metadata: SnapshotMetadata,
  onFinish: (temporaryPath: string) => Promise<void>,
): Promise<SnapshotFile> {
  const path = `${directory}/${temporary}`;
  const file = await fileSystem.open(path, 'create');
  let position = 0;
  let syncedAt = 0;
  let stateBytes = 0;
  let isOpen = true;
  const put = async (bytes: Uint8Array): Promise<void> => {
    await file.write(bytes, position);
    position += bytes.length;
  };
  const close = async (): Promise<void> => {
    if (!isOpen) return;
    isOpen = false;
    await file.close();
  };
  const abort = async (): Promise<void> => {
    if (!isOpen) return;
    await close();
    await fileSystem.remove(path);
  };
  try {
    await put(encodeHeader(metadata));
  } catch (error) {
    await abort();
    throw error;
  }
  return {
    async write(chunk) {
      if (chunk.length === 0) return;
      await put(encodeChunk(chunk, chunk.length));
      stateBytes += chunk.length;
      if (position - syncedAt < syncEveryBytes) return;
      await file.sync();
      syncedAt = position;
    },
    async finish() {
      await put(encodeChunk(new ByteWriter(8).u64(stateBytes).finish(), 0));
      await file.sync();
      await close();
      await onFinish(path);
    },
    abort,
  };
}

/** Opens a finished snapshot and reads what it stands for. Rejects with a `RaftError` `corrupt` that names the place. */
export async function openSnapshotFile(fileSystem: FileSystem, path: string): Promise<StoredSnapshot> {
  const file = await fileSystem.open(path, 'read');
  try {
    const { metadata, end } = await readHeader(file, path);
    return { metadata, chunks: () => readChunks(fileSystem, path, end) };
  } finally {
    await file.close();
  }
}

function encodeHeader(metadata: SnapshotMetadata): Uint8Array {
  const meta = new ByteWriter(64);
  writeSnapshotMetadata(meta, metadata);
  const bytes = meta.finish();
  return new ByteWriter(128).raw(magic).u32(version).u32(bytes.length).raw(bytes).u32(crc32(bytes)).copy();
}

function encodeChunk(bytes: Uint8Array, length: number): Uint8Array {
  return new ByteWriter(8 + bytes.length).u32(length).u32(crc32(bytes)).raw(bytes).finish();
}

async function readHeader(file: DiskFile, path: string): Promise<{ metadata: SnapshotMetadata; end: number }> {
  const head = await readAt(file, path, 0, 16);
  if (!magic.every((byte, at) => head[at] === byte))
    throw new RaftError('corrupt', `${path} at offset 0: not a snapshot`);
  const reader = new ByteReader(head, 8);
  const found = reader.u32();
  if (found !== version)
    throw new RaftError('foreign', `${path} has format version ${found}; this program knows ${version}`);
  const length = reader.u32();
  if (length > maxChunkBytes) throw new RaftError('corrupt', `${path} at offset 12: metadata of ${length} bytes`);
  const meta = await readAt(file, path, 16, length + 4);
  const bytes = meta.subarray(0, length);
  if (crc32(bytes) !== new ByteReader(meta, length).u32())
    throw new RaftError('corrupt', `${path} at offset ${16 + length}: the checksum of the metadata is wrong`);
  const metadata = decoding(`metadata of ${path}`, () => readSnapshotMetadata(new ByteReader(bytes)));
  return { metadata, end: 16 + length + 4 };
}

async function* readChunks(fileSystem: FileSystem, path: string, from: number): AsyncGenerator<Uint8Array> {
  const file = await fileSystem.open(path, 'read');
  try {
    let stateBytes = 0;
    for (let position = from; ; ) {
      const head = new ByteReader(await readAt(file, path, position, 8));
      const length = head.u32();
      const crc = head.u32();
      if (length > maxChunkBytes)
        throw new RaftError('corrupt', `${path} at offset ${position}: a chunk of ${length} bytes`);
      const bytes = await readAt(file, path, position + 8, length === 0 ? 8 : length);
      if (crc32(bytes) !== crc)
        throw new RaftError('corrupt', `${path} at offset ${position}: the checksum of a chunk is wrong`);
      if (length === 0) {
        const expected = new ByteReader(bytes).u64();
        if (expected === stateBytes) return;
        throw new RaftError(
          'corrupt',
          `${path} at offset ${position}: ${stateBytes} bytes, but its end says ${expected}`,
        );
      }
      yield bytes;
      stateBytes += length;
      position += 8 + length;
    }
  } finally {
    await file.close();
  }
}

async function readAt(file: DiskFile, path: string, position: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  const got = await file.read(bytes, position);
  if (got < length)
    throw new RaftError('corrupt', `${path} at offset ${position}: ${length} bytes are expected, ${got} are there`);
  return bytes;
}
