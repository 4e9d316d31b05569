/** The signals that people and init systems end a process with, and their numbers. */
const numbers = { SIGINT: 2, SIGTERM: 15 } as const;
type Ending = keyof typeof numbers;

/**
 * Turns the first SIGINT or SIGTERM into an abort, so that what is half done can be taken back; the second one ends the
 * process as ever.
 */
export class Endings {
  readonly #aborting = new AbortController();
  readonly #listeners: readonly (readonly [Ending, () => void])[];
  #by: Ending | undefined;

  constructor() {
    this.#listeners = (Object.keys(numbers) as Ending[]).map((name) => [name, () => this.#end(name)] as const);
    for (const [name, listener] of this.#listeners) process.on(name, listener);
  }

  get signal(): AbortSignal {
    return this.#aborting.signal;
  }

  /** What came, with the exit code that shells give it; undefined while nothing has. */
  get by(): { readonly name: Ending; readonly exitCode: number } | undefined {
    return this.#by && { name: this.#by, exitCode: 128 + numbers[this.#by] };
  }

  [Symbol.dispose](): void {
    for (const [name, listener] of this.#listeners) process.off(name, listener);
  }

  #end(name: Ending): void {
    this.#by = name;
    this[Symbol.dispose]();
    this.#aborting.abort(new Error(name));
  }
}
