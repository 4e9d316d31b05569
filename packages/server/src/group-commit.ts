import { type Command, DcacheError, encodeLogEntry, maxBatchBytes, type Reply } from '@dcache/protocol';
import { commandBytes, cutBatches } from './command-bytes.js';
import type { LogTime } from './log-time.js';

/** Takes one entry and gives the replies of its commands once it is applied. */
export type Propose = (data: Uint8Array) => Promise<readonly Reply[]>;

interface Waiting {
  readonly command: Command;
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: unknown) => void;
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
    for (const batch of cutBatches(waiting, maxBatchBytes)) this.#commit(batch);
  }

  /** Settles every command of the batch, whatever goes wrong: nobody else would. */
  #commit(batch: readonly Waiting[]): void {
    this.#entryOf(batch).then(
      (replies) => {
        for (let i = 0; i < batch.length; i++) batch[i]!.resolve(replies[i]!);
      },
      (error) => {
        for (const waiting of batch) waiting.reject(error);
      },
    );
  }

  async #entryOf(batch: readonly Waiting[]): Promise<readonly Reply[]> {
    const commands = batch.map((waiting) => waiting.command);
    const replies = await this.#propose(encodeLogEntry({ stampMs: this.#time.stamp(), commands }));
    if (replies.length !== batch.length)
      throw new DcacheError('internal', `an entry of ${batch.length} commands was answered ${replies.length} times`);
    return replies;
  }
}
