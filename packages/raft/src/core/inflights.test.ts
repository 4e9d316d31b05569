import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Inflights } from './inflights.js';

test('a window of appends behaves as a list of them does', () => {
  const step = fc.oneof(
    fc.record({ add: fc.nat(50) }),
    fc.record({ freeTo: fc.nat(60) }),
    fc.record({ reset: fc.constant(true) }),
  );
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 20 }),
      fc.integer({ min: 1, max: 300 }),
      fc.array(step),
      (count, bytes, steps) => {
        const window = new Inflights(count, bytes);
        let model: { index: number; size: number }[] = [];
        let next = 1;
        for (const action of steps) {
          const isFull = model.length >= count || model.reduce((sum, { size }) => sum + size, 0) >= bytes;
          assert.equal(window.isFull, isFull);
          if ('add' in action) {
            if (isFull) continue;
            window.add(next, action.add);
            model.push({ index: next++, size: action.add });
          } else if ('freeTo' in action) {
            window.freeTo(action.freeTo);
            model = model.filter(({ index }) => index > action.freeTo);
          } else {
            window.reset();
            model = [];
          }
          assert.equal(window.count, model.length);
          assert.equal(
            window.bytes,
            model.reduce((sum, { size }) => sum + size, 0),
          );
        }
      },
    ),
  );
});

test('nothing goes past a full window', () => {
  const window = new Inflights(1, 100);
  window.add(1, 1);
  assert.throws(() => window.add(2, 1), /inflight limit/);
});
