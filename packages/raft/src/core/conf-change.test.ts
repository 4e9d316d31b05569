import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  asConfChangeV2,
  type ConfChange,
  ConfChangeType,
  confChangeEntryType,
  decodeConfChange,
  encodeConfChange,
  entersJoint,
  leavesJoint,
  Transition,
} from './conf-change.js';
import { EntryType } from './message.js';

const type = fc.constantFrom(...Object.values(ConfChangeType));
const nodeId = fc.maxSafeNat();
/** Objects as literals make them, so that deep equality holds. */
const plain = { noNullPrototype: true } as const;
const single = fc.record({ type, nodeId }, plain);
const context = fc.uint8Array({ minLength: 1, maxLength: 40 });
const v1: fc.Arbitrary<ConfChange> = fc.record(
  { type, nodeId, context },
  { ...plain, requiredKeys: ['type', 'nodeId'] },
);
const v2: fc.Arbitrary<ConfChange> = fc.record(
  { transition: fc.constantFrom(...Object.values(Transition)), changes: fc.array(single, { maxLength: 9 }), context },
  { ...plain, requiredKeys: ['transition', 'changes'] },
);

test('a change is read back as it was written', () => {
  fc.assert(
    fc.property(fc.oneof(v1, v2), (change) => {
      assert.deepEqual(decodeConfChange(confChangeEntryType(change), encodeConfChange(change)), change);
    }),
  );
});

test("the bytes are those of etcd's raftpb, and never change", () => {
  const hex = (change: ConfChange): string => Buffer.from(encodeConfChange(change)).toString('hex');
  assert.equal(hex({ type: ConfChangeType.removeNode, nodeId: 300 }), '100118ac02');
  assert.equal(hex({ type: ConfChangeType.addNode, nodeId: 1, context: new Uint8Array([7]) }), '10001801220107');
  assert.equal(hex({ changes: [] }), '0800');
  const changes = [
    { type: ConfChangeType.addNode, nodeId: 1 },
    { type: ConfChangeType.addLearner, nodeId: 2 },
  ];
  assert.equal(
    hex({ transition: Transition.jointExplicit, changes, context: new Uint8Array([9]) }),
    '0802' + '120408001001' + '120408031002' + '1a0109',
  );
});

test('bytes that are no change are undefined, whatever they are', () => {
  fc.assert(
    fc.property(fc.constantFrom(EntryType.confChange, EntryType.confChangeV2), fc.uint8Array(), (kind, bytes) => {
      const change = decodeConfChange(kind, bytes);
      if (change !== undefined) assert.equal(confChangeEntryType(change), kind);
    }),
  );
  assert.equal(decodeConfChange(EntryType.confChange, new Uint8Array([0x10, 9])), undefined);
  assert.equal(decodeConfChange(EntryType.confChangeV2, new Uint8Array([0x08, 3])), undefined);
  assert.equal(decodeConfChange(EntryType.confChangeV2, new Uint8Array([0x12, 9])), undefined);
  assert.equal(decodeConfChange(EntryType.confChange, new Uint8Array([0x99])), undefined);
  assert.equal(decodeConfChange(EntryType.normal, new Uint8Array([0x10, 0])), undefined);
});

test('no bytes are a change that leaves a joint configuration', () => {
  const change = decodeConfChange(EntryType.confChangeV2, new Uint8Array());
  assert.ok(change !== undefined && leavesJoint(asConfChangeV2(change)));
});

test('one change is simple, several are joint, and a transition asked for is joint in any case', () => {
  const one = [{ type: ConfChangeType.addNode, nodeId: 1 }];
  assert.equal(entersJoint({ changes: one }), undefined);
  assert.deepEqual(entersJoint({ changes: [...one, ...one] }), { autoLeave: true });
  assert.deepEqual(entersJoint({ changes: one, transition: Transition.jointImplicit }), { autoLeave: true });
  assert.deepEqual(entersJoint({ changes: one, transition: Transition.jointExplicit }), { autoLeave: false });
});
