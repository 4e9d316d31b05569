import { ByteReader, BytesError, type ByteWriter } from '@dcache/base';

/** Who a Raft id is; it travels with the membership change that adds it. */
export interface Identity {
  readonly name: string;
  /** `host:port` of its one port. */
  readonly rpcAddr: string;
}

const identityFormat = 1;

/** format:u8 | name:text | rpcAddr:text; the context of a membership change. */
export function writeIdentity(writer: ByteWriter, identity: Identity): void {
  writer.u8(identityFormat).text(identity.name).text(identity.rpcAddr);
}

/** Reads what `writeIdentity` wrote. Throws a `BytesError`. */
export function readIdentity(reader: ByteReader): Identity {
  const format = reader.u8();
  if (format !== identityFormat)
    throw new BytesError(`member identity of format ${format}; this version reads format ${identityFormat}`);
  return { name: reader.text(), rpcAddr: reader.text() };
}

/**
 * Replicated state: the name and address of each Raft id of the cluster. It is in the snapshot, because the entries that
 * made it are not.
 */
export class Directory {
  readonly #identities = new Map<number, Identity>();

  get(id: number): Identity | undefined {
    return this.#identities.get(id);
  }

  entries(): IterableIterator<[number, Identity]> {
    return this.#identities.entries();
  }

  /** Takes what a membership change says of `id`; an empty context says nothing new. */
  learn(id: number, context: Uint8Array): void {
    if (context.length > 0) this.#identities.set(id, readIdentity(new ByteReader(context)));
  }

  /** Keeps only the members of the configuration. */
  retain(members: ReadonlySet<number>): void {
    for (const id of this.#identities.keys()) if (!members.has(id)) this.#identities.delete(id);
  }

  write(writer: ByteWriter): void {
    writer.varint(this.#identities.size);
    for (const [id, identity] of [...this.#identities].sort((a, b) => a[0] - b[0])) {
      writer.u64(id);
      writeIdentity(writer, identity);
    }
  }

  static read(reader: ByteReader): Directory {
    const directory = new Directory();
    const count = reader.varint();
    for (let i = 0; i < count; i++) {
      const id = reader.u64();
      directory.#identities.set(id, readIdentity(reader));
    }
    return directory;
  }
}
