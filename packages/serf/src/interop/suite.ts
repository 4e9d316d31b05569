import { type Check, type CheckResult, recorder } from './check.js';
import { checkDetection } from './checks-detection.js';
import { checkFaults } from './checks-faults.js';
import { checkLeaving } from './checks-leaving.js';
import { checkIpv6, checkLabel } from './checks-network.js';
import { checkPool } from './checks-pool.js';
import { checkRpc } from './checks-rpc.js';
import { checkConflict, checkGarbage, checkIdle, checkKeys, checkWideAddress, keyOf } from './checks-special.js';
import type { LabOptions } from './lab.js';

/** Everything, or in well under a minute what needs no long wait. */
export type Extent = 'full' | 'quick';

type Scenario = (check: Check) => Promise<void>;

/** Runs one after the other what must hold with other settings too, and reports it as one check. */
function matrix(id: number, title: string, options: LabOptions): Scenario {
  return (check) =>
    check(id, title, async () => {
      const results: CheckResult[] = [];
      await checkPool(recorder(results), options);
      await checkFaults(recorder(results), options);
      await checkLeaving(recorder(results), options);
      const failed = results.filter((result) => result.error !== undefined);
      if (failed.length > 0)
        throw new Error(failed.map((result) => `check ${result.id}: ${result.error!.message}`).join('; '));
      return `${results.length} checks again`;
    });
}

const key = keyOf('matrix');

const scenarios: Readonly<Record<Extent, readonly Scenario[]>> = {
  full: [
    (check) => checkIdle(check),
    checkDetection,
    (check) => checkPool(check),
    (check) => checkFaults(check),
    (check) => checkLeaving(check),
    matrix(31, 'the whole matrix without compression', {
      agentArgs: ['-disable-compression'],
      peerOptions: { compress: false },
    }),
    matrix(32, 'the whole matrix with encryption', { agentArgs: ['-encrypt', key], peerOptions: { keyring: [key] } }),
    checkConflict,
    checkKeys,
    checkWideAddress,
    checkGarbage,
    checkRpc,
    checkIpv6,
    checkLabel,
  ],
  quick: [
    (check) => checkPool(check),
    (check) => checkLeaving(check, {}, 3000),
    checkConflict,
    checkKeys,
    checkGarbage,
    checkRpc,
    checkLabel,
  ],
};

/** Scenarios at once: each is a handful of processes that mostly wait. */
const lanes = 3;

/**
 * Runs the checks of the conformance list against real agents, which takes some minutes in full. A scenario that
 * cannot even set up its pool counts as a failed check with the number 0.
 */
export async function runSuite(extent: Extent, onResult: (result: CheckResult) => void): Promise<CheckResult[]> {
  const results: CheckResult[] = [];
  const check = recorder(results, onResult);
  const waiting = [...scenarios[extent]];
  const work = async (): Promise<void> => {
    for (let scenario = waiting.shift(); scenario !== undefined; scenario = waiting.shift()) {
      try {
        await scenario(check);
      } catch (error) {
        await check(0, 'the pool of a scenario', () => Promise.reject(error));
      }
    }
  };
  await Promise.all(Array.from({ length: lanes }, work));
  return results.sort((a, b) => a.id - b.id);
}
