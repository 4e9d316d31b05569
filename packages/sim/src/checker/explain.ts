/**
 * Why a history is not linearizable, made short enough for a person to follow: the few operations that cannot be put in
 * order, and what the object could have held before them.
 *
 * Every step keeps the proof sound, so that what is shown is really impossible by itself:
 *
 * 1. Nothing after the first unexplained answer counts: `search.ts` finds the shortest bad prefix. Operations under way
 *    at its end may have taken effect or not.
 * 2. The beginning is replaced by the set of states in which it can leave the object; operations under way at the cut
 *    may then still take effect or not. Of the cuts that still leave no order, the latest at which the unexplained
 *    answer was still possible is taken, so that what ruled it out is shown; where it never was, the latest of all.
 * 3. A read that is not needed is left out: leaving out a read never makes a history worse.
 * 4. A write is left out where no order exists even if it were free to take effect at any time or never: then its
 *    place in time does not matter. The last one that can have given a read shown its answer stays, to be read along.
 */
import type { Operation } from '../history.js';
import type { Model } from './model.js';
import { findUnexplained, SearchLimitError, type SearchOptions } from './search.js';

export interface Explanation<State, Action> {
  readonly key: string;
  /** The operation whose answer no order explains. */
  readonly failed: Operation<Action>;
  /** What the object can have held just before the operations shown. */
  readonly statesBefore: readonly State[];
  /** In the order asked, `failed` among them. One that was under way at the end or at the cut is shown as open. */
  readonly operations: readonly Operation<Action>[];
}

/** Searches spent on one explanation; one that needs more is longer than it could be. */
const maxTrials = 2_000;
/** Configurations in one such search; what would need more is kept. */
const maxConfigurations = 2_000;

/** `operations` are those of one key; `failed` is what `findUnexplained` gave for them. */
export function explain<State, Action>(
  model: Model<State, Action>,
  operations: readonly Operation<Action>[],
  failed: Operation<Action>,
  options: Pick<SearchOptions<State>, 'maxConfigurations' | 'maxComparisons'> = {},
): Explanation<State, Action> {
  const end = failed.returnedAt!;
  const prefix = operations
    .filter((operation) => operation.invokedAt <= end)
    .map((operation) => (operation.returnedAt! <= end ? operation : { ...operation, returnedAt: undefined }));
  const cuts: Cut<State>[] = [];
  const onEvent = (position: number, states: () => State[]): void => void cuts.push({ position, states: states() });
  findUnexplained(model, prefix, { ...options, onEvent });
  const trials = new Trials(model);
  const window = bestCut(model, prefix, failed, cuts, trials);
  return { key: failed.key, failed, ...leaveOut(model, window, failed, trials) };
}

interface Cut<State> {
  readonly position: number;
  readonly states: readonly State[];
}

type Window<State, Action> = Pick<Explanation<State, Action>, 'statesBefore' | 'operations'>;

function bestCut<State, Action>(
  model: Model<State, Action>,
  prefix: readonly Operation<Action>[],
  failed: Operation<Action>,
  cuts: readonly Cut<State>[],
  trials: Trials<State, Action>,
): Window<State, Action> {
  const isStillPossible = (state: State): boolean =>
    model.blur === undefined
      ? model.step(state, failed.action) !== undefined
      : model.blur(state, [failed.action]) === state && state !== model.blur(state, []);
  const candidates = cuts.filter(({ states }) => states.some(isStillPossible));
  for (const { position, states } of (candidates.length > 0 ? candidates : cuts).toReversed()) {
    const operations = prefix
      .filter((operation) => operation.returnedAt === undefined || operation.returnedAt > position)
      .map((operation) =>
        operation.invokedAt > position || model.isReadOnly(operation.action)
          ? operation
          : { ...operation, returnedAt: undefined },
      );
    if (trials.isImpossible(operations, states)) return { statesBefore: states, operations };
  }
  return { statesBefore: [model.initial], operations: prefix };
}

function leaveOut<State, Action>(
  model: Model<State, Action>,
  { statesBefore, operations }: Window<State, Action>,
  failed: Operation<Action>,
  trials: Trials<State, Action>,
): Window<State, Action> {
  let kept = operations;
  let free: readonly Operation<Action>[] = [];
  for (const isRead of [true, false]) {
    for (const operation of operations.toReversed()) {
      if (operation.invokedAt === failed.invokedAt || model.isReadOnly(operation.action) !== isRead) continue;
      const rest = kept.filter((other) => other !== operation);
      const freed = isRead ? free : [...free, { ...operation, invokedAt: -1 - free.length, returnedAt: undefined }];
      if (!trials.isImpossible([...rest, ...freed], statesBefore)) continue;
      kept = rest;
      free = freed;
    }
  }
  const sources = kept.map((read) => (model.isReadOnly(read.action) ? sourceOf(model, read, operations) : undefined));
  return { statesBefore, operations: operations.filter((each) => kept.includes(each) || sources.includes(each)) };
}

/** The last operation asked before `read` was answered that can have made its answer true. */
function sourceOf<State, Action>(
  model: Model<State, Action>,
  read: Operation<Action>,
  operations: readonly Operation<Action>[],
): Operation<Action> | undefined {
  return operations.findLast((operation) => {
    if (model.isReadOnly(operation.action) || operation.invokedAt > read.returnedAt!) return false;
    const state = model.step(model.initial, operation.action);
    return state !== undefined && model.step(state, read.action) !== undefined;
  });
}

class Trials<State, Action> {
  readonly #model: Model<State, Action>;
  #left = maxTrials;

  constructor(model: Model<State, Action>) {
    this.#model = model;
  }

  /** True only where it is certain. */
  isImpossible(operations: readonly Operation<Action>[], initialStates: readonly State[]): boolean {
    if (this.#left-- <= 0) return false;
    try {
      return findUnexplained(this.#model, operations, { initialStates, maxConfigurations }) !== undefined;
    } catch (error) {
      if (error instanceof SearchLimitError) return false;
      throw error;
    }
  }
}
