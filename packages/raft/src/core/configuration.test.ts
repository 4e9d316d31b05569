import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type ConfChangeSingle, ConfChangeType } from './conf-change.js';
import {
  ConfChangeError,
  changeSimply,
  emptyConfiguration,
  enterJoint,
  isJoint,
  leaveJoint,
  membersOf,
  restoreConfiguration,
} from './configuration.js';
import type { ConfState, NodeId } from './message.js';

const change: fc.Arbitrary<ConfChangeSingle> = fc.record({
  type: fc.constantFrom(...Object.values(ConfChangeType)),
  nodeId: fc.integer({ min: 0, max: 6 }),
});
const changes = fc.array(change, { maxLength: 5 });
type Step = { readonly how: 'simple' | 'joint' | 'leave'; readonly changes: readonly ConfChangeSingle[] };
const steps: fc.Arbitrary<Step[]> = fc.array(fc.record({ how: fc.constantFrom('simple', 'joint', 'leave'), changes }), {
  maxLength: 20,
});

/** Makes the steps that fit, and hands each configuration with the one before it to `check`. */
function walk(path: readonly Step[], check: (before: ConfState, after: ConfState) => void): void {
  let configuration = changeSimply(emptyConfiguration, [{ type: ConfChangeType.addNode, nodeId: 1 }]).configuration;
  for (const step of path) {
    try {
      const { configuration: next } =
        step.how === 'simple'
          ? changeSimply(configuration, step.changes)
          : step.how === 'joint'
            ? enterJoint(configuration, step.changes, true)
            : leaveJoint(configuration);
      check(configuration, next);
      configuration = next;
    } catch (error) {
      assert.ok(error instanceof ConfChangeError, String(error));
    }
  }
}

function majorities(voters: readonly NodeId[]): readonly (readonly NodeId[])[] {
  const subsets: NodeId[][] = [[]];
  for (const id of voters) for (const subset of [...subsets]) subsets.push([...subset, id]);
  return subsets.filter((subset) => subset.length * 2 > voters.length);
}

/** Sets of nodes that can decide: a majority of each half. */
function quorums({ voters, votersOutgoing }: ConfState): readonly ReadonlySet<NodeId>[] {
  const outgoing = votersOutgoing.length === 0 ? [[]] : majorities(votersOutgoing);
  return majorities(voters).flatMap((first) => outgoing.map((second) => new Set([...first, ...second])));
}

test('whatever is changed, any quorum before shares a node with any quorum after (thesis §4.1, §4.3)', () => {
  fc.assert(
    fc.property(steps, (path) => {
      walk(path, (before, after) => {
        for (const first of quorums(before))
          for (const second of quorums(after))
            assert.ok(
              [...first].some((id) => second.has(id)),
              `${JSON.stringify([before, after])}`,
            );
      });
    }),
    { numRuns: 60 },
  );
});

test('whatever is changed, a configuration keeps its invariants and is read back from a snapshot', () => {
  fc.assert(
    fc.property(steps, (path) => {
      walk(path, (_, after) => {
        assert.ok(after.voters.length > 0);
        if (!isJoint(after)) assert.ok(after.learnersNext.length === 0 && !after.autoLeave);
        for (const id of after.learners) assert.ok(!after.voters.includes(id) && !after.votersOutgoing.includes(id));
        for (const id of after.learnersNext) assert.ok(after.votersOutgoing.includes(id) && !after.voters.includes(id));
        assert.deepEqual(restoreConfiguration(after), after);
      });
    }),
  );
});

test('who left starts anew, who stayed does not', () => {
  const from = restoreConfiguration({ ...emptyConfiguration, voters: [1, 2], learners: [3] });
  const apply = (...list: readonly [ConfChangeType, NodeId][]): ReadonlySet<NodeId> =>
    enterJoint(
      from,
      list.map(([type, nodeId]) => ({ type, nodeId })),
      false,
    ).left;
  assert.deepEqual(apply([ConfChangeType.addNode, 3]), new Set());
  assert.deepEqual(apply([ConfChangeType.removeNode, 3], [ConfChangeType.addNode, 3]), new Set([3]));
  // An outgoing voter does not leave before the joint configuration does.
  assert.deepEqual(apply([ConfChangeType.removeNode, 2], [ConfChangeType.addNode, 2]), new Set());
});

test('a configuration that contradicts itself is refused', () => {
  assert.throws(() => restoreConfiguration({ ...emptyConfiguration, voters: [1], learners: [1] }), ConfChangeError);
  assert.throws(() => restoreConfiguration({ ...emptyConfiguration, voters: [1], learnersNext: [2] }), ConfChangeError);
  assert.throws(() => restoreConfiguration({ ...emptyConfiguration, voters: [1], autoLeave: true }), ConfChangeError);
});

test('members are sorted and named once', () => {
  const joint = { voters: [3, 1], votersOutgoing: [10, 3], learners: [2], learnersNext: [10], autoLeave: false };
  assert.deepEqual(membersOf(restoreConfiguration(joint)), [1, 2, 3, 10]);
});
