/**
 * What clients saw: operations with the moments at which they were asked and answered. A history is what the
 * linearizability checker judges, whether a simulation recorded it or a file was read.
 *
 * ```
 *   process 0   |--- write 1 ---|        ok: it took effect once, between its two ends
 *   process 1        |---- write 2 - - - -  open: nobody knows; at any later time, or never
 *   process 2                  |- read 1 -|
 * ```
 */

/** One operation of one client on one key. */
export interface Operation<Action> {
  /** The client; its operations follow each other. */
  readonly process: string;
  /** Operations on different keys never influence each other and are checked apart. */
  readonly key: string;
  /** What was asked and, where it is known, what was answered. */
  readonly action: Action;
  /** Position of the question in the history; all positions of a history differ. */
  readonly invokedAt: number;
  /** Position of the answer; undefined where it never came: the operation may take effect at any later time, or never. */
  readonly returnedAt: number | undefined;
}

/**
 * Records operations while they happen. Positions count the calls made here, so that order is exactly the order in
 * which the clients saw things, whatever the clock says.
 */
export class HistoryRecorder<Action> {
  readonly #operations: { process: string; key: string; action: Action; invokedAt: number; returnedAt?: number }[] = [];
  readonly #dropped = new Set<number>();
  #position = 0;

  /** Number of operations asked so far. */
  get size(): number {
    return this.#operations.length;
  }

  /** A client asks; the number returned names the operation to the other methods. */
  invoke(process: string, key: string, action: Action): number {
    return this.#operations.push({ process, key, action, invokedAt: this.#position++ }) - 1;
  }

  /** The answer came; `action` is the one of `invoke` with its result filled in. */
  ok(operation: number, action: Action): void {
    const entry = this.#open(operation);
    entry.action = action;
    entry.returnedAt = this.#position++;
  }

  /** The operation certainly did not happen. An operation that is neither `ok` nor `fail` stays open. */
  fail(operation: number): void {
    this.#open(operation);
    this.#dropped.add(operation);
  }

  /** All operations that happened or may have happened, in the order in which they were asked. */
  operations(): Operation<Action>[] {
    return this.#operations
      .filter((_, index) => !this.#dropped.has(index))
      .map((entry) => ({ ...entry, returnedAt: entry.returnedAt }));
  }

  #open(operation: number): { action: Action; returnedAt?: number } {
    const entry = this.#operations[operation];
    if (entry === undefined) throw new RangeError(`there is no operation ${operation} of ${this.#operations.length}`);
    if (entry.returnedAt !== undefined || this.#dropped.has(operation))
      throw new RangeError(`operation ${operation} has its answer already`);
    return entry;
  }
}
