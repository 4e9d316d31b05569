/**
 * Deterministic simulation of dcache and the checkers that judge it: a seed makes a whole cluster, its faults and its
 * clients, and replays to the byte. The linearizability checker stands on its own and judges recorded files as well.
 *
 * ```ts
 * import { checkLinearizable, HistoryRecorder, type RegisterAction, registerModel, simulate } from '@dcache/sim';
 *
 * console.log(simulate({ seed: 1 }).violation); // undefined: every promise was kept
 *
 * const history = new HistoryRecorder<RegisterAction>();
 * const write = history.invoke('client 1', 'key', { f: 'write', value: '1' });
 * history.ok(write, { f: 'write', value: '1' });
 * const read = history.invoke('client 2', 'key', { f: 'read', value: undefined });
 * history.ok(read, { f: 'read', value: 'nil' }); // stale
 * console.log(checkLinearizable(registerModel, history.operations()).isLinearizable); // false
 * ```
 *
 * Read next: `run.ts`, `node.ts`, `checkers.ts`, `faults.ts`; `cache/run.ts` for the cache itself on whole nodes; then `history.ts`, `checker/search.ts`, `checker/explain.ts`.
 */
export { checkLinearizable, type Verdict } from './checker/check.js';
export type { Explanation } from './checker/explain.js';
export {
  type KeyValueAction,
  type KeyValueState,
  keyValueModel,
  type Model,
  type RegisterAction,
  type RegisterValue,
  registerModel,
} from './checker/model.js';
export { HistoryFormatError, judgeHistory, parseHistory, type RecordedHistory } from './checker/recorded.js';
export { renderExplanation } from './checker/render.js';
export { SearchLimitError, type SearchOptions } from './checker/search.js';
export { type Check, Violation } from './checkers.js';
export { type DriverMutation, driverMutations } from './driver/cluster.js';
export type { DriverFault } from './driver/faults.js';
export { type DriverRunOptions, type DriverRunResult, simulateDriver } from './driver/run.js';
export { HistoryRecorder, type Operation } from './history.js';
export { type Mutation, mutations } from './mutation.js';
export { type RunOptions, type RunResult, type RunSummary, simulate } from './run.js';
