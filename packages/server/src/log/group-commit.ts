import { type Command, DcacheError, encodeLogEntry, maxBatchBytes, type Reply } from '@dcache/protocol';
import { commandBytes, cutBatches, totalBytes } from './command-bytes.js';
import type { LogTime } from './log-time.js';

/** Takes one entry and gives the replies of its commands once it is applied. */
export type Propose = (data: Uint8Array) => Promise<readonly Reply[]>;

/** A command that waits for its entry, and who is told what became of it: one of the two, once. */
interface Waiting {
  readonly command: Command;
  readonly bytes: number;
  resolve(reply: Reply): void;
  reject(error: unknown): void;
}

/** What became of one of several commands: its reply, or why there is none. */
export type Settled =
  | { readonly reply: Reply; readonly error?: undefined }
  | { readonly reply?: undefined; readonly error: unknown };

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
    return new Promise((resolve, reject) => {
      this.#add({ command, bytes: commandBytes(command), resolve, reject });
    });
  }

  /**
   * The same for commands that came together, without a promise for each. Resolves when every one has its reply or was
   * refused, with what became of them in their order; never rejects.
   */
  appendAll(commands: readonly Command[]): Promise<readonly Settled[]> {
    return new Promise((resolve) => {
      const group = new Group(commands.length, resolve);
      for (let i = 0; i < commands.length; i++) this.#add(new Member(commands[i]!, group, i));
    });
  }

  /** Appends an entry that carries nothing but time, so that what is due expires. */
  async appendTime(): Promise<void> {
    await this.#propose(encodeLogEntry({ stampMs: this.#time.stamp(), commands: [] }));
  }

  #add(waiting: Waiting): void {
    const { bytes } = waiting;
    if (this.#waiting.length > 0 && this.#waitingBytes + bytes > this.#maxWaitingBytes) {
      waiting.reject(
        new DcacheError('busy', `${this.#waitingBytes} bytes of writes are waiting; try again in a moment`),
      );
      return;
    }
    this.#waitingBytes += bytes;
    this.#waiting.push(waiting);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#flush());
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
    const stampMs = this.#time.stamp();
    const replies = await this.#propose(encodeLogEntry({ stampMs, commands }, totalBytes(batch)));
    if (replies.length !== batch.length)
      throw new DcacheError('internal', `an entry of ${batch.length} commands was answered ${replies.length} times`);
    return replies;
  }
}

/** Commands that came together. */
class Group {
  readonly #settled: Settled[];
  readonly #resolve: (settled: readonly Settled[]) => void;
  #left: number;

  constructor(count: number, resolve: (settled: readonly Settled[]) => void) {
    this.#settled = new Array<Settled>(count);
    this.#resolve = resolve;
    this.#left = count;
    if (count === 0) resolve(this.#settled);
  }

  settle(at: number, settled: Settled): void {
    this.#settled[at] = settled;
    if (--this.#left === 0) this.#resolve(this.#settled);
  }
}

/** One of them. */
class Member implements Waiting {
  readonly command: Command;
  readonly bytes: number;
  readonly #group: Group;
  readonly #at: number;

  constructor(command: Command, group: Group, at: number) {
    this.command = command;
    this.bytes = commandBytes(command);
    this.#group = group;
    this.#at = at;
  }

  resolve(reply: Reply): void {
    this.#group.settle(this.#at, { reply });
  }

  reject(error: unknown): void {
    this.#group.settle(this.#at, { error });
  }
}
