import { ByteWriter } from '@dcache/base';
import type { Change } from './change.js';
import { type Run, writeChange } from './change-codec.js';
import type { Batch } from './log.js';
import { encodeBatch } from './message.js';

const fullBytes = 64 * 1024;

/** This node's updates of one turn, until they leave together as one message. */
export class Outbox {
  readonly #writer = new ByteWriter(fullBytes);
  #run: Run = { dot: 0, space: undefined };
  #count = 0;

  /** Updates that wait. */
  get count(): number {
    return this.#count;
  }

  /** Large enough to leave before the turn ends. */
  get isFull(): boolean {
    return this.#writer.length >= fullBytes;
  }

  add(change: Change): void {
    writeChange(this.#writer, this.#run, change);
    this.#count++;
  }

  /** All that waits, as one batch of `origin`, the last one with the number `last`. There is at least one. */
  take(origin: string, last: number): Batch {
    const batch = encodeBatch(origin, last - this.#count + 1, this.#count, this.#writer.finish());
    this.#writer.reset();
    this.#run = { dot: 0, space: undefined };
    this.#count = 0;
    return batch;
  }
}
