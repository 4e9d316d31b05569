import type { Operation } from '../history.js';
import type { Explanation } from './explain.js';
import type { Model } from './model.js';

const maxValueLength = 100;

/**
 * An explanation as lines of text, a timeline beside each operation. `where` names a position, such as `line 12`.
 *
 * ```
 * no order of these operations explains line 7, process 0: read 1
 *   before them: nil
 *   lines 1-2  process 0  write 1  |-|
 *   lines 3-4  process 1  write 2    |-|
 *   lines 6-7  process 0  read 1         |-|  <- unexplained
 * ```
 */
export function renderExplanation<State, Action>(
  model: Model<State, Action>,
  { key, failed, statesBefore, operations }: Explanation<State, Action>,
  where = 'line',
): string {
  const ofKey = key === '' ? '' : ` of key ${JSON.stringify(key)}`;
  const answer = `${where} ${failed.returnedAt}, process ${failed.process}: ${shorten(model.describe(failed.action))}`;
  const states = statesBefore.map((state) => shorten(model.describeState(state)));
  const rows = operations.map((operation) => [
    `${where}s ${operation.invokedAt}-${operation.returnedAt ?? ''}`,
    `process ${operation.process}`,
    shorten(model.describe(operation.action)),
  ]);
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column]!.length)));
  const drawn = timeline(operations);
  return [
    `no order of these operations${ofKey} explains ${answer}`,
    `  before them: ${states.join(' or ')}`,
    ...rows.map((row, index) => {
      const mark = operations[index]!.invokedAt === failed.invokedAt ? '  <- unexplained' : '';
      return `  ${row.map((cell, column) => cell.padEnd(widths[column]!)).join('  ')}  ${drawn[index]}${mark}`;
    }),
  ].join('\n');
}

/** `|--|` from question to answer, `|--` where the answer never came; positions are ranked, so that gaps close up. */
function timeline<Action>(operations: readonly Operation<Action>[]): string[] {
  const positions = operations.flatMap(({ invokedAt, returnedAt }) =>
    returnedAt === undefined ? [invokedAt] : [invokedAt, returnedAt],
  );
  const ranks = new Map(positions.sort((a, b) => a - b).map((position, rank) => [position, 2 * rank]));
  const width = 2 * positions.length;
  return operations.map(({ invokedAt, returnedAt }) => {
    const from = ranks.get(invokedAt)!;
    const to = returnedAt === undefined ? width : ranks.get(returnedAt)!;
    return `${' '.repeat(from)}|${'-'.repeat(to - from - 1)}${returnedAt === undefined ? '' : '|'}`;
  });
}

/** Long values keep their ends, where appended values differ. */
function shorten(text: string): string {
  if (text.length <= maxValueLength) return text;
  const half = maxValueLength / 2;
  return `${text.slice(0, half)}…${text.length - maxValueLength} more…${text.slice(-half)}`;
}
