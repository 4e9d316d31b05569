import { ByteReader, ByteWriter, fromUtf8, utf8 } from '@dcache/base';
import type { Entry } from '@dcache/raft';

/** What a client wants done: on one key, once, however often it is retried. */
export interface Command {
  readonly client: number;
  /** Rises by one for each command of a client. */
  readonly sequence: number;
  readonly key: string;
  /** Write only where the key holds this; undefined writes always. */
  readonly expected: string | undefined;
  readonly value: string;
}

/** What became of a command. */
export interface Outcome {
  readonly client: number;
  readonly sequence: number;
  /** False where `expected` was not what the key held. */
  readonly written: boolean;
}

export function encodeCommand({ client, sequence, key, expected, value }: Command): Uint8Array {
  const writer = new ByteWriter(64).varint(client).varint(sequence).text(key);
  if (expected === undefined) writer.u8(0);
  else writer.u8(1).text(expected);
  return writer.text(value).copy();
}

export function decodeCommand(data: Uint8Array): Command {
  const reader = new ByteReader(data);
  const client = reader.varint();
  const sequence = reader.varint();
  const key = reader.text();
  const expected = reader.u8() === 0 ? undefined : reader.text();
  const value = reader.text();
  reader.end();
  return { client, sequence, key, expected, value };
}

/**
 * A few registers and one session a client. `hash` rolls over every entry applied and what it did, so that two nodes
 * that applied the same log to the same state have the same hash at the same index.
 */
export class RegisterMachine {
  /** Index of the last entry applied. */
  applied = 0;
  appliedTerm = 0;
  hash = 0;
  readonly #registers = new Map<string, string>();
  readonly #sessions = new Map<number, Outcome>();
  /** False makes a retried command take effect twice: for a mutation test. */
  readonly #hasSessions: boolean;

  constructor(hasSessions = true) {
    this.#hasSessions = hasSessions;
  }

  /** What the key holds, `nil` before the first write. */
  read(key: string): string {
    return this.#registers.get(key) ?? 'nil';
  }

  /** The outcome of a normal entry with a command; undefined for others. */
  apply(entry: Entry, isCommand: boolean): Outcome | undefined {
    this.applied = entry.index;
    this.appliedTerm = entry.term;
    this.#roll(entry.index);
    this.#roll(entry.term);
    for (const byte of entry.data) this.#roll(byte);
    if (!isCommand) return undefined;
    const outcome = this.#execute(decodeCommand(entry.data));
    this.#roll(outcome.written ? 1 : 2);
    return outcome;
  }

  #execute({ client, sequence, key, expected, value }: Command): Outcome {
    const last = this.#sessions.get(client);
    if (this.#hasSessions && last !== undefined && sequence <= last.sequence) return { ...last, sequence };
    const written = expected === undefined || this.read(key) === expected;
    if (written) this.#registers.set(key, value);
    const outcome = { client, sequence, written };
    this.#sessions.set(client, outcome);
    return outcome;
  }

  #roll(value: number): void {
    this.hash = (Math.imul(this.hash ^ value, 0x9e3779b1) >>> 0) ^ (this.hash >>> 13);
  }

  /** The whole state as bytes. */
  save(): Uint8Array {
    const { applied, appliedTerm, hash } = this;
    const registers = [...this.#registers];
    const sessions = [...this.#sessions.values()];
    return utf8(JSON.stringify({ applied, appliedTerm, hash, registers, sessions }));
  }

  /** Replaces the state by what `save` gave; no bytes are the empty state. */
  restore(bytes: Uint8Array): void {
    this.#registers.clear();
    this.#sessions.clear();
    const saved = (bytes.length === 0 ? {} : JSON.parse(fromUtf8(bytes))) as {
      applied?: number;
      appliedTerm?: number;
      hash?: number;
      registers?: [string, string][];
      sessions?: Outcome[];
    };
    this.applied = saved.applied ?? 0;
    this.appliedTerm = saved.appliedTerm ?? 0;
    this.hash = saved.hash ?? 0;
    for (const [key, value] of saved.registers ?? []) this.#registers.set(key, value);
    for (const outcome of saved.sessions ?? []) this.#sessions.set(outcome.client, outcome);
  }
}
