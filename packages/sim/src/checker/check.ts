/**
 * The checker's front: takes a history apart by key, because a history is linearizable exactly if what happened to each
 * key is (Herlihy and Wing's locality, TOPLAS 1990; Horn and Kroening, Faster linearizability checking via
 * P-compositionality, FORTE 2015), and judges each part.
 */
import type { Operation } from '../history.js';
import { type Explanation, explain } from './explain.js';
import type { Model } from './model.js';
import { findUnexplained, type SearchOptions } from './search.js';

/** What the checker found. */
export type Verdict<State, Action> =
  | { readonly isLinearizable: true }
  | { readonly isLinearizable: false; readonly explanation: Explanation<State, Action> };

/**
 * Judges `operations`, whose positions must all differ. Of several keys that are wrong it explains the one that goes
 * wrong first.
 *
 * @throws SearchLimitError where the history is too concurrent for the limits in `options`.
 */
export function checkLinearizable<State, Action>(
  model: Model<State, Action>,
  operations: readonly Operation<Action>[],
  options: Pick<SearchOptions<State>, 'maxConfigurations' | 'maxComparisons'> = {},
): Verdict<State, Action> {
  let worst: { operations: Operation<Action>[]; failed: Operation<Action> } | undefined;
  for (const part of partition(operations).values()) {
    const failed = findUnexplained(model, part, options);
    if (failed !== undefined && (worst === undefined || failed.returnedAt! < worst.failed.returnedAt!))
      worst = { operations: part, failed };
  }
  if (worst === undefined) return { isLinearizable: true };
  return { isLinearizable: false, explanation: explain(model, worst.operations, worst.failed, options) };
}

function partition<Action>(operations: readonly Operation<Action>[]): Map<string, Operation<Action>[]> {
  const parts = new Map<string, Operation<Action>[]>();
  for (const operation of operations) {
    const part = parts.get(operation.key);
    if (part === undefined) parts.set(operation.key, [operation]);
    else part.push(operation);
  }
  return parts;
}
