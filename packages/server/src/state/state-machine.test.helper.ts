import { ByteWriter, concatBytes, fromUtf8, utf8 } from '@dcache/base';
import {
  type Command,
  CommandType,
  type Condition,
  encodeLogEntry,
  type Reply,
  ReplyType,
  type SessionStamp,
} from '@dcache/protocol';
import type { ConfState } from '@dcache/raft';
import { writeIdentity } from './directory.js';
import { CacheStateMachine } from './state-machine.js';

export const start: number = 1_000_000;

/** A machine with the calls of a test. */
export class Machine {
  readonly inner: CacheStateMachine;
  readonly stamps: number[] = [];
  nowMs: number = start;

  constructor(maxBytes = 1_048_576, eviction: 'sieve' | 's3fifo' | 'fifo' | 'none' = 'sieve') {
    this.inner = new CacheStateMachine({ maxBytes, eviction }, (stampMs) => void this.stamps.push(stampMs));
  }

  apply(...commands: Command[]): readonly Reply[] {
    return this.inner.apply({ data: encodeLogEntry({ stampMs: this.nowMs, commands }) });
  }

  one(command: Command): Reply {
    return this.apply(command)[0]!;
  }

  get(key: string): string | undefined {
    const found = this.inner.read(utf8(key));
    return found && fromUtf8(found.value);
  }

  bytes(): Uint8Array {
    const snapshot = this.inner.snapshot();
    const bytes = concatBytes([...snapshot.chunks()]);
    snapshot.close();
    return bytes;
  }
}

export interface SetExtra {
  readonly ttlMs?: number;
  readonly condition?: Condition;
  readonly session?: SessionStamp;
}

export const set = (key: string, value: string, extra: SetExtra = {}): Command => ({
  type: CommandType.set,
  key: utf8(key),
  value: utf8(value),
  ttlMs: 0,
  flags: 0,
  ...extra,
});

export const del = (key: string, condition?: Condition): Command => ({
  type: CommandType.delete,
  key: utf8(key),
  condition,
});

export const ok = (revision: number): Reply => ({ type: ReplyType.ok, revision });

export const failed = (revision: number): Reply => ({ type: ReplyType.preconditionFailed, revision });

export async function* cut(bytes: Uint8Array, size = 1_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.slice(at, at + size);
}

export function confState(voters: number[], learners: number[] = []): ConfState {
  return { voters, learners, votersOutgoing: [], learnersNext: [], autoLeave: false };
}

export function identity(name: string, rpcAddr = `${name}:9200`): Uint8Array {
  const writer = new ByteWriter();
  writeIdentity(writer, { name, rpcAddr });
  return writer.copy();
}
