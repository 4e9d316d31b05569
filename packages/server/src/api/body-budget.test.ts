import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BodyBudget } from './body-budget.js';

test('what is taken is given back, and no more than all of it is held', () => {
  const budget = new BodyBudget(10);
  budget.take(6);
  budget.take(4);
  const refused = {
    code: 'overloaded',
    message: /holds 10 bytes of requests .* at most 10 are allowed; nothing was done/,
  };
  assert.throws(() => budget.take(1), refused);
  assert.equal(budget.heldBytes, 10, 'what was refused was not taken');
  budget.give(6);
  budget.take(6);
});
