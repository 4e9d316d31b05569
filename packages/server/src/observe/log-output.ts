import type { Clock } from '@dcache/base';
import type { LogTarget } from './log-target.js';

export interface LogOutputParts {
  readonly target: LogTarget;
  readonly clock: Clock;
  /** Blocks this thread for so many milliseconds. Default by `Atomics.wait`. */
  readonly sleep?: (ms: number) => void;
  /** Bytes of lines that may wait. Default 1 MiB. */
  readonly maxBytes?: number;
}

/** Bytes that one write may have. */
const writeBytes = 65_536;
/** How soon a target without room is tried again, in milliseconds; it doubles up to the second. */
const firstRetryMs = 1;
const lastRetryMs = 50;
/** How long the last words may take altogether, in milliseconds. */
const lastMs = 1_000;
/** How long another thread may take to finish the write that it has begun, in milliseconds. */
const threadMs = 100;
/** Above all levels but this one lines are dropped (pino's `fatal`): the last words are let in however full it is. */
const fatalLevel = 60;

/**
 * Where the log's lines wait for whoever reads them, in the shape that `pino` writes to. A reader that stands still makes
 * neither the node wait nor its memory grow: what comes while `maxBytes` are waiting is dropped, counted, and told in a
 * line of its own once there is room. The oldest are kept, because they say how it began. Lines go out together once a
 * turn of the event loop.
 */
export class LogOutput {
  /** The level of the line that comes next, as pino tells it. */
  lastLevel = 0;
  readonly #target: LogTarget;
  readonly #clock: Clock;
  readonly #sleep: (ms: number) => void;
  readonly #maxBytes: number;
  /** Oldest first; the first may have been written in part. */
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #dropped = 0;
  /** Of `#dropped`, those that no line has told yet. */
  #untold = 0;
  /** The next turn, another thread or a timer goes on. */
  #isBusy = false;
  /** Bytes that another thread is writing. */
  #inThread = 0;
  #retryMs = firstRetryMs;
  #hasGivenUp = false;

  constructor({ target, clock, sleep = pause, maxBytes = 1_048_576 }: LogOutputParts) {
    this.#target = target;
    this.#clock = clock;
    this.#sleep = sleep;
    this.#maxBytes = maxBytes;
    // Makes pino tell the level.
    Object.defineProperty(this, Symbol.for('pino.metadata'), { value: true });
  }

  /** Lines that nobody will read, since the start. */
  get dropped(): number {
    return this.#dropped;
  }

  /** One line with its end. */
  write(line: string): void {
    const bytes = Buffer.from(line);
    if (this.#waitingBytes + bytes.length > this.#maxBytes && this.lastLevel < fatalLevel) {
      this.#dropped++;
      this.#untold++;
      return;
    }
    // After drops it is let in only where its place in the order is told.
    this.#tell();
    this.#add(bytes);
    if (this.#isBusy) return;
    this.#isBusy = true;
    setImmediate(() => this.#goOn());
  }

  /** Writes what waits before this process ends, unless that takes longer than a second: then nobody reads. */
  flushSync(): void {
    const untilMs = this.#clock.monotonicMs() + (this.#hasGivenUp ? 0 : lastMs);
    if (this.#inThread > 0) {
      this.#sleep(threadMs);
      this.#took(this.#inThread);
      this.#inThread = 0;
    }
    this.#tell();
    while (this.#waiting.length > 0) {
      const written = this.#target.writeSync(this.#next());
      if (written > 0) this.#took(written);
      else if (this.#clock.monotonicMs() < untilMs) this.#sleep(lastRetryMs / 5);
      else {
        this.#hasGivenUp = true;
        return;
      }
    }
  }

  #goOn(): void {
    this.#isBusy = false;
    // One write a turn: others get theirs in between.
    if (this.#waiting.length === 0) return;
    this.#isBusy = true;
    const next = this.#next();
    if (!this.#target.writeInThread) return this.#wrote(this.#target.writeSync(next));
    this.#inThread = next.length;
    this.#target.writeInThread(next, (written) => {
      // Whoever ended the process meanwhile has counted it as written.
      if (this.#inThread === 0) return;
      this.#inThread = 0;
      this.#wrote(written);
    });
  }

  #wrote(written: number): void {
    this.#took(written);
    if (this.#waitingBytes <= this.#maxBytes / 2) this.#tell();
    if (written > 0) setImmediate(() => this.#goOn());
    else this.#clock.after(this.#retryMs, () => this.#goOn());
    this.#retryMs = written > 0 ? firstRetryMs : Math.min(lastRetryMs, this.#retryMs * 2);
  }

  #next(): Buffer {
    let bytes = 0;
    let count = 0;
    for (const line of this.#waiting) {
      if (count > 0 && bytes + line.length > writeBytes) break;
      bytes += line.length;
      count++;
    }
    return count === 1 ? this.#waiting[0]! : Buffer.concat(this.#waiting.slice(0, count), bytes);
  }

  #took(bytes: number): void {
    this.#waitingBytes -= bytes;
    let count = 0;
    while (count < this.#waiting.length && this.#waiting[count]!.length <= bytes)
      bytes -= this.#waiting[count++]!.length;
    if (count > 0) this.#waiting.splice(0, count);
    if (bytes > 0) this.#waiting[0] = this.#waiting[0]!.subarray(bytes);
  }

  /** Says how many were dropped before the next line. */
  #tell(): void {
    if (this.#untold === 0) return;
    const time = new Date(this.#clock.wallMs()).toISOString();
    const msg = 'lines of this log were dropped here: nobody took them in time';
    const line = { level: 40, time, dropped: this.#untold, msg };
    this.#untold = 0;
    this.#add(Buffer.from(`${JSON.stringify(line)}\n`));
  }

  #add(bytes: Buffer): void {
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
  }
}

function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
