import {
  type Command,
  DcacheError,
  type EntryWrite,
  encodeLogEntry,
  maxBatchBytes,
  type Reply,
} from '@dcache/protocol';
import type { LogTime } from './log-time.js';

/** Takes one entry and gives the replies of its commands once it is applied. */
export type Propose = (data: Uint8Array) => Promise<readonly Reply[]>;

interface Waiting {
  readonly command: Command;
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: unknown) => void;
}

/** Rough bytes of a command, for cutting batches; the codec's own overhead is not worth exactness. */
function commandBytes(command: Command): number {
  if ('value' in command) return command.value.length + command.key.length + 32;
  if ('sets' in command) return entriesBytes(command.sets);
  if ('entries' in command) return entriesBytes(command.entries);
  if ('keys' in command) return command.keys.reduce((sum, key) => sum + key.length + 4, 32);
  return 'key' in command ? command.key.length + 32 : 32;
}

function entriesBytes(entries: readonly EntryWrite[]): number {
  return entries.reduce((sum, entry) => sum + entry.key.length + entry.value.length + 32, 32);
}

/**
 * Group commit: all commands that arrive in one turn of the event loop become one log entry, stamped once. A batch is
 * cut at 1 MiB; one larger command travels alone. Waiting commands are bounded; past the bound a write is `busy`.
 */
export class GroupCommit {
  readonly #propose: Propose;
  readonly #time: LogTime;
  readonly #maxWaitingBytes: number;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #scheduled = false;

  constructor(propose: Propose, time: LogTime, maxWaitingBytes: number) {
    this.#propose = propose;
    this.#time = time;
    this.#maxWaitingBytes = maxWaitingBytes;
  }

  /** Resolves with the command's reply once it is applied here. */
  append(command: Command): Promise<Reply> {
    const bytes = commandBytes(command);
    if (this.#waiting.length > 0 && this.#waitingBytes + bytes > this.#maxWaitingBytes)
      return Promise.reject(
        new DcacheError('busy', `${this.#waitingBytes} bytes of writes are waiting; try again in a moment`),
      );
    this.#waitingBytes += bytes;
    return new Promise((resolve, reject) => {
      this.#waiting.push({ command, resolve, reject });
      if (this.#scheduled) return;
      this.#scheduled = true;
      setImmediate(() => this.#flush());
    });
  }

  /** Appends an entry that carries nothing but time, so that what is due expires. */
  async appendTime(): Promise<void> {
    await this.#propose(encodeLogEntry({ stampMs: this.#time.stamp(), commands: [] }));
  }

  #flush(): void {
    this.#scheduled = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    let start = 0;
    let bytes = 0;
    for (let i = 0; i < waiting.length; i++) {
      const size = commandBytes(waiting[i]!.command);
      if (i > start && bytes + size > maxBatchBytes) {
        this.#commit(waiting.slice(start, i));
        start = i;
        bytes = 0;
      }
      bytes += size;
    }
    if (start < waiting.length) this.#commit(start === 0 ? waiting : waiting.slice(start));
  }

  #commit(batch: readonly Waiting[]): void {
    const data = encodeLogEntry({ stampMs: this.#time.stamp(), commands: batch.map((waiting) => waiting.command) });
    this.#propose(data).then(
      (replies) => {
        for (let i = 0; i < batch.length; i++) batch[i]!.resolve(replies[i]!);
      },
      (error) => {
        for (const waiting of batch) waiting.reject(error);
      },
    );
  }
}
