import { crc32 } from 'node:zlib';
import { fromUtf8, type Random, utf8 } from '@dcache/base';
import type { NodeId } from '../core/message.js';
import { RaftError } from '../errors.js';
import type { FileSystem } from './file-system.js';

/** Whose log a folder holds. */
export interface Identity {
  readonly nodeId: NodeId;
  /** Undefined until the node knows its cluster. */
  readonly clusterId: string | undefined;
}

const name = 'identity.json';
const format = 1;

/**
 * The identity of the folder, which becomes `wanted` if it has none. Rejects with `foreign` where it has another, or
 * holds a log without one.
 */
export async function claimDirectory(
  fileSystem: FileSystem,
  directory: string,
  wanted: { readonly nodeId: NodeId | undefined; readonly clusterId: string | undefined },
  random: Random,
): Promise<Identity> {
  const found = await readIdentity(fileSystem, directory);
  if (found === undefined) {
    const names = await fileSystem.list(directory);
    if (names.some((file) => file.endsWith('.wal') || file.endsWith('.snap')))
      throw new RaftError('foreign', `${directory} holds a log, but no ${name} says whose`);
    const identity = { nodeId: wanted.nodeId ?? 1 + random.below(2 ** 52 - 1), clusterId: wanted.clusterId };
    await writeIdentity(fileSystem, directory, identity);
    return identity;
  }
  if (wanted.nodeId !== undefined && wanted.nodeId !== found.nodeId)
    throw new RaftError('foreign', `${directory} belongs to node ${found.nodeId}, not ${wanted.nodeId}`);
  if (wanted.clusterId === undefined || found.clusterId === wanted.clusterId) return found;
  if (found.clusterId !== undefined) throw foreignCluster(directory, found.clusterId, wanted.clusterId);
  const identity = { nodeId: found.nodeId, clusterId: wanted.clusterId };
  await writeIdentity(fileSystem, directory, identity);
  return identity;
}

/** The error for a folder of another cluster. */
export function foreignCluster(directory: string, found: string, wanted: string): RaftError {
  return new RaftError('foreign', `${directory} belongs to cluster ${found}, not ${wanted}`);
}

/** Who the folder belongs to, or undefined where nobody does. Rejects with `corrupt` or `foreign`. */
async function readIdentity(fileSystem: FileSystem, directory: string): Promise<Identity | undefined> {
  const path = `${directory}/${name}`;
  if (!(await fileSystem.list(directory)).includes(name)) return undefined;
  const file = await fileSystem.open(path, 'read');
  try {
    const bytes = new Uint8Array(Math.min(await file.size(), 64 * 1024));
    await file.read(bytes, 0);
    return parse(fromUtf8(bytes), path);
  } finally {
    await file.close();
  }
}

/** Makes the identity durable, replacing what was there at once. */
export async function writeIdentity(fileSystem: FileSystem, directory: string, identity: Identity): Promise<void> {
  const temporary = `${directory}/${name}.tmp`;
  if ((await fileSystem.list(directory)).includes(`${name}.tmp`)) await fileSystem.remove(temporary);
  const file = await fileSystem.open(temporary, 'create');
  try {
    await file.write(
      utf8(`${JSON.stringify({ format, ...identity, checksum: checksum(identity) }, undefined, 2)}\n`),
      0,
    );
    await file.sync();
  } finally {
    await file.close();
  }
  await fileSystem.rename(temporary, `${directory}/${name}`);
  await fileSystem.syncDirectory(directory);
}

function parse(text: string, path: string): Identity {
  let value: { format?: unknown; nodeId?: unknown; clusterId?: unknown; checksum?: unknown };
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new RaftError('corrupt', `${path} is not JSON`, { cause });
  }
  if (value.format !== format)
    throw new RaftError('foreign', `${path} has format ${String(value.format)}; this program knows ${format}`);
  const { nodeId, clusterId } = value;
  const isNode = typeof nodeId === 'number' && Number.isSafeInteger(nodeId) && nodeId >= 1 && nodeId < 2 ** 52;
  if (!isNode || (clusterId !== undefined && typeof clusterId !== 'string'))
    throw new RaftError('corrupt', `${path} names no node`);
  const identity = { nodeId, clusterId };
  if (value.checksum !== checksum(identity)) throw new RaftError('corrupt', `${path}: the checksum is wrong`);
  return identity;
}

/** A digit that rotted would make another node of this one. */
function checksum({ nodeId, clusterId }: Identity): number {
  return crc32(`${nodeId} ${clusterId ?? ''}`);
}
