/**
 * Is there an order of these operations, each at one moment between its two ends, that a sequential object could have
 * gone through?
 *
 * The search is Wing and Gong's (Testing and verifying concurrent objects, JPDC 1993) in the form of Lowe's
 * just-in-time linearization with a cache of configurations (Testing for linearizability, CCPE 2017). The history is
 * read once, event by event. A *configuration* is one way in which everything so far could have gone: the state of the
 * object and which of the operations under way have taken effect. At an answer, every configuration in which that
 * operation has not taken effect yet tries all ways of letting operations under way take effect until it has; those that
 * cannot are dropped. No configuration left: not linearizable, and the events read so far are the shortest prefix that
 * shows it. Only the configurations of one moment are held, so memory follows the concurrency and not the length.
 *
 * Three rules keep the set small, and none loses an answer:
 *
 * 1. *Free operations.* Where an operation under way would leave the state as it is, as a read does that the state
 *    answers, it is noted as free and not placed: if its answer comes before it was of other use, this is where it took
 *    effect.
 * 2. *Dominance.* Of two configurations with the same state, one that has placed no more operations and has all those
 *    placed or free that the other has can do whatever the other can; the other is dropped. This holds for operations
 *    whose answer never came too: they may stay unplaced for ever. Of such that do the same, the oldest goes first.
 *    (Equal configurations, Lowe's cache, are the simplest case.)
 * 3. *Blur.* States that no read to come can tell apart are one, where the model knows (`Model.blur`). Without it ten
 *    concurrent appends followed by a put are ten factorial states.
 */
import type { Operation } from '../history.js';
import type { Model } from './model.js';

/** The history has so much concurrency that the search would need more memory or time than it was allowed. */
export class SearchLimitError extends Error {
  override readonly name = 'SearchLimitError';
}

export interface SearchOptions<State> {
  /** Configurations held at one moment before the search gives up with a `SearchLimitError`. Default 100,000. */
  readonly maxConfigurations?: number;
  /** Comparisons of two configurations, some ten nanoseconds each, before it gives up. Default 2^30. */
  readonly maxComparisons?: number;
  /** States in which the history may begin. Default: the model's own. */
  readonly initialStates?: readonly State[];
  /** Called after each event with the states in which the object may be then. */
  readonly onEvent?: (position: number, states: () => State[]) => void;
}

/** One way in which everything so far could have gone. Bits are slots of the answered operations under way. */
interface Configuration<State> {
  readonly state: State;
  /** Operations that were placed. */
  readonly done: bigint;
  /** Operations that were placed or are free. Invariant: a superset of `done`. */
  readonly covered: bigint;
  /** Open operations that were placed; bit n is the n-th open operation asked. */
  readonly used: bigint;
}

interface Event<Action> {
  readonly position: number;
  readonly isReturn: boolean;
  readonly isRead: boolean;
  readonly operation: Operation<Action>;
}

/**
 * Judges `operations`, all of one key. Undefined where they are linearizable, else the first whose answer cannot be
 * explained: up to that moment no order fits the answers of all operations begun so far, up to any earlier one there is.
 */
export function findUnexplained<State, Action>(
  model: Model<State, Action>,
  operations: readonly Operation<Action>[],
  options: SearchOptions<State> = {},
): Operation<Action> | undefined {
  const events = eventsOf(model, operations);
  const search = new Search(model, events, options);
  for (const event of events) {
    if (!search.take(event)) return event.operation;
    options.onEvent?.(event.position, () => search.states());
  }
  return undefined;
}

function eventsOf<State, Action>(
  model: Model<State, Action>,
  operations: readonly Operation<Action>[],
): Event<Action>[] {
  const events: Event<Action>[] = [];
  for (const operation of operations) {
    const isRead = model.isReadOnly(operation.action);
    // A read that was never answered says nothing.
    if (operation.returnedAt === undefined && isRead) continue;
    events.push({ position: operation.invokedAt, isReturn: false, isRead, operation });
    if (operation.returnedAt !== undefined)
      events.push({ position: operation.returnedAt, isReturn: true, isRead, operation });
  }
  return events.sort((a, b) => a.position - b.position);
}

/** An operation under way: `bit` is its place in `done`, or in `used` if its answer never comes. */
interface Pending<Action> {
  readonly action: Action;
  readonly isRead: boolean;
  readonly isOpen: boolean;
  readonly bit: bigint;
  /** For an open operation the bit of the one before it that does the same, else 0: that one goes first. */
  readonly after: bigint;
}

class Search<State, Action> {
  readonly #model: Model<State, Action>;
  readonly #budget: Budget;
  #configurations: ConfigurationSet<State>;
  readonly #pending = new Map<Operation<Action>, Pending<Action>>();
  readonly #slots: (Operation<Action> | undefined)[] = [];
  /** Read-only actions that have not begun, the next one last. */
  readonly #readsToCome: Action[];
  readonly #lastOpen = new Map<string, bigint>();
  #openCount = 0;

  constructor(model: Model<State, Action>, events: readonly Event<Action>[], options: SearchOptions<State>) {
    this.#model = model;
    this.#budget = {
      configurations: options.maxConfigurations ?? 100_000,
      comparisons: options.maxComparisons ?? 2 ** 30,
    };
    this.#readsToCome = events
      .filter(({ isRead, isReturn }) => isRead && !isReturn)
      .map(({ operation }) => operation.action)
      .reverse();
    this.#configurations = this.#emptySet();
    for (const state of options.initialStates ?? [model.initial])
      this.#configurations.add({ state, done: 0n, covered: 0n, used: 0n });
  }

  /** False where no configuration is left. */
  take({ operation, isReturn, isRead }: Event<Action>): boolean {
    if (isReturn) this.#return(operation);
    else this.#invoke(operation, isRead);
    return this.#configurations.size > 0;
  }

  states(): State[] {
    return this.#configurations.states();
  }

  #invoke(operation: Operation<Action>, isRead: boolean): void {
    const { action } = operation;
    if (operation.returnedAt === undefined) {
      const kind = this.#model.describe(action);
      const bit = 1n << BigInt(this.#openCount++);
      this.#pending.set(operation, { action, isRead, isOpen: true, bit, after: this.#lastOpen.get(kind) ?? 0n });
      this.#lastOpen.set(kind, bit);
      return;
    }
    let slot = this.#slots.indexOf(undefined);
    if (slot < 0) slot = this.#slots.length;
    this.#slots[slot] = operation;
    const pending = { action, isRead, isOpen: false, bit: 1n << BigInt(slot), after: 0n };
    this.#pending.set(operation, pending);
    if (isRead) this.#readsToCome.pop();
    const next = this.#emptySet();
    for (const each of this.#configurations)
      next.add(this.#isFree(each.state, pending) ? { ...each, covered: each.covered | pending.bit } : each);
    this.#configurations = next;
  }

  #return(operation: Operation<Action>): void {
    const { bit, isRead } = this.#pending.get(operation)!;
    const survivors = this.#emptySet();
    const seen = this.#emptySet();
    const queue: Configuration<State>[] = [];
    const visit = (configuration: Configuration<State>, coveredBefore: bigint): void => {
      const { state, done, covered, used } = configuration;
      // Survives where the operation is placed, or free since now; a later step from here can be taken when it is due.
      if ((done & bit) !== 0n || (covered & ~coveredBefore & bit) !== 0n)
        survivors.add({ state, done: done & ~bit, covered: covered & ~bit, used });
      // A free operation that is no read may be placed as well, where it makes a difference.
      if ((done & bit) !== 0n || (isRead && (covered & bit) !== 0n)) return;
      if (seen.add(configuration)) queue.push(configuration);
    };
    for (const each of this.#configurations) visit(this.#settled(each.state, each.done, each.covered, each.used), 0n);
    for (let from = queue.pop(); from !== undefined; from = queue.pop()) {
      for (const pending of this.#pending.values()) {
        if (pending.isRead || ((pending.isOpen ? from.used : from.done) & pending.bit) !== 0n) continue;
        if (pending.after !== 0n && (from.used & pending.after) === 0n) continue;
        const state = this.#model.step(from.state, pending.action);
        if (state === undefined || state === from.state) continue;
        const done = pending.isOpen ? from.done : from.done | pending.bit;
        const used = pending.isOpen ? from.used | pending.bit : from.used;
        visit(this.#settled(state, done, from.covered | done, used), from.covered);
      }
    }
    this.#configurations = survivors;
    this.#pending.delete(operation);
    this.#slots[this.#slots.indexOf(operation)] = undefined;
  }

  /** A configuration with its state blurred and with the operations noted that are free in it. */
  #settled(state: State, done: bigint, covered: bigint, used: bigint): Configuration<State> {
    if (this.#model.blur !== undefined) state = this.#model.blur(state, this.#observations());
    for (const pending of this.#pending.values())
      if (!pending.isOpen && (covered & pending.bit) === 0n && this.#isFree(state, pending)) covered |= pending.bit;
    return { state, done, covered, used };
  }

  #isFree(state: State, { action }: Pending<Action>): boolean {
    return this.#model.step(state, action) === state;
  }

  /** All reads that may still take effect, roughly the soonest first. */
  *#observations(): IterableIterator<Action> {
    for (const { action, isRead } of this.#pending.values()) if (isRead) yield action;
    for (let at = this.#readsToCome.length - 1; at >= 0; at--) yield this.#readsToCome[at]!;
  }

  #emptySet(): ConfigurationSet<State> {
    return new ConfigurationSet(this.#budget);
  }
}

/** What is left to a search; `configurations` is a limit for each set and `comparisons` counts down for all. */
interface Budget {
  readonly configurations: number;
  comparisons: number;
}

/** Configurations without those that another one dominates (rule 2). */
class ConfigurationSet<State> {
  readonly #budget: Budget;
  readonly #byState = new Map<State, Configuration<State>[]>();
  #size = 0;

  constructor(budget: Budget) {
    this.#budget = budget;
  }

  get size(): number {
    return this.#size;
  }

  states(): State[] {
    return [...this.#byState.keys()];
  }

  /** False where one that dominates it is here already. */
  add(configuration: Configuration<State>): boolean {
    const known = this.#byState.get(configuration.state);
    if (known === undefined) {
      this.#byState.set(configuration.state, [configuration]);
    } else {
      this.#budget.comparisons -= 2 * known.length;
      if (known.some((other) => dominates(other, configuration))) return false;
      const kept = known.filter((other) => !dominates(configuration, other));
      this.#size -= known.length - kept.length;
      kept.push(configuration);
      this.#byState.set(configuration.state, kept);
    }
    this.#size++;
    if (this.#size > this.#budget.configurations || this.#budget.comparisons < 0)
      throw new SearchLimitError(
        `too much concurrency to judge: ${this.#size} ways in which the history could have gone at one moment`,
      );
    return true;
  }

  *[Symbol.iterator](): IterableIterator<Configuration<State>> {
    for (const group of this.#byState.values()) yield* group;
  }
}

function dominates<State>(a: Configuration<State>, b: Configuration<State>): boolean {
  return (a.done & ~b.done) === 0n && (a.used & ~b.used) === 0n && (b.covered & ~a.covered) === 0n;
}
