import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually, until } from './until.js';

test('until gives what the check gives as soon as it is there; nothing and 0 are different things', async () => {
  const answers = [undefined, false, undefined, 0];
  assert.equal(await until('a number', () => answers.shift()), 0);
  assert.equal(answers.length, 0);
  let asked = 0;
  assert.equal(await until('three questions', async () => ++asked === 3 && 'enough'), 'enough');
});

test('until says what did not come', async () => {
  await assert.rejects(
    until('the moon is full', () => false, 5),
    /not within 5 ms: the moon is full/,
  );
});

test('a check that fails ends until, but not eventually', async () => {
  let tries = 0;
  const refused = (): number => {
    if (++tries < 3) throw new Error('refused');
    return tries;
  };
  await assert.rejects(until('it answers', refused), /^Error: refused$/);
  assert.equal(tries, 1);
  assert.equal(await eventually('it answers', refused), 3);
});

test('eventually says what did not come, and what failed last', async () => {
  const fails = (): Promise<never> => Promise.reject(new Error('refused'));
  await assert.rejects(
    eventually('it answers', fails, 5),
    /not within 5 ms: it answers \(last error: Error: refused\)/,
  );
  await assert.rejects(
    eventually('it answers', () => undefined, 5),
    /^Error: not within 5 ms: it answers$/,
  );
});

test('until goes on when a test has put timers of its own in the place of the real ones', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  let looks = 0;
  await until('three looks', () => ++looks === 3);
});
