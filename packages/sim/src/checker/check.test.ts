import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { HistoryRecorder, type Operation } from '../history.js';
import { checkLinearizable } from './check.js';
import { type KeyValueAction, keyValueModel, type Model, type RegisterAction, registerModel } from './model.js';
import { findUnexplained, SearchLimitError } from './search.js';

/** `write 1: 0-3` as an operation; without an end it is open. */
function operation<Action>(process: number, action: Action, invokedAt: number, returnedAt?: number): Operation<Action> {
  return { process: String(process), key: '', action, invokedAt, returnedAt };
}

const write = (value: string): RegisterAction => ({ f: 'write', value });
const read = (value: string): RegisterAction => ({ f: 'read', value });
const cas = (from: string, to: string, swapped: boolean | undefined): RegisterAction => ({
  f: 'cas',
  from,
  to,
  swapped,
});

function isLinearizable(...operations: Operation<RegisterAction>[]): boolean {
  return checkLinearizable(registerModel, operations).isLinearizable;
}

test('a history without operations is linearizable', () => {
  assert.ok(isLinearizable());
});

test('a read after a write sees it, and a stale read is found', () => {
  assert.ok(isLinearizable(operation(0, write('1'), 1, 2), operation(1, read('1'), 3, 4)));
  assert.ok(!isLinearizable(operation(0, write('1'), 1, 2), operation(1, read('nil'), 3, 4)));
});

test('a read beside a write may see the value before or after it', () => {
  assert.ok(isLinearizable(operation(0, write('1'), 1, 4), operation(1, read('nil'), 2, 3)));
  assert.ok(isLinearizable(operation(0, write('1'), 1, 4), operation(1, read('1'), 2, 3)));
});

test('two reads beside a write cannot see it come and go', () => {
  const under = operation(0, write('1'), 1, 9);
  assert.ok(isLinearizable(under, operation(1, read('nil'), 2, 3), operation(1, read('1'), 4, 5)));
  assert.ok(!isLinearizable(under, operation(1, read('1'), 2, 3), operation(1, read('nil'), 4, 5)));
});

test('a write whose answer never came may take effect at any later time, or never, but once', () => {
  const lost = operation(0, write('1'), 1);
  const second = operation(1, write('2'), 2, 3);
  assert.ok(isLinearizable(lost, second, operation(1, read('2'), 4, 5), operation(1, read('1'), 6, 7)));
  assert.ok(isLinearizable(lost, second, operation(1, read('2'), 4, 5)));
  const back = [operation(1, read('1'), 4, 5), operation(1, write('2'), 6, 7), operation(1, read('1'), 8, 9)];
  assert.ok(!isLinearizable(lost, second, ...back));
  assert.ok(isLinearizable(lost, operation(5, write('1'), 1.5), second, ...back));
});

test('an operation cannot take effect before it was asked', () => {
  assert.ok(!isLinearizable(operation(1, read('1'), 1, 2), operation(0, write('1'), 3)));
});

test('a cas that swapped needs its value, one that was refused needs another', () => {
  const first = operation(0, write('1'), 1, 2);
  assert.ok(isLinearizable(first, operation(0, cas('1', '2', true), 3, 4), operation(0, read('2'), 5, 6)));
  assert.ok(!isLinearizable(first, operation(0, cas('3', '2', true), 3, 4)));
  assert.ok(isLinearizable(first, operation(0, cas('3', '2', false), 3, 4)));
  assert.ok(!isLinearizable(first, operation(0, cas('1', '2', false), 3, 4)));
  assert.ok(isLinearizable(first, operation(0, cas('1', '2', undefined), 3), operation(1, read('2'), 5, 6)));
  assert.ok(isLinearizable(first, operation(0, cas('1', '2', undefined), 3), operation(1, read('1'), 5, 6)));
});

test('keys are judged apart, and the one that goes wrong first is explained', () => {
  const on = (key: string, action: RegisterAction, invokedAt: number): Operation<RegisterAction> => ({
    process: '0',
    key,
    action,
    invokedAt,
    returnedAt: invokedAt + 1,
  });
  assert.ok(isLinearizable(on('a', write('1'), 1), on('b', read('nil'), 3)));
  const verdict = checkLinearizable(registerModel, [on('a', read('7'), 5), on('b', read('8'), 3)]);
  assert.ok(!verdict.isLinearizable);
  assert.equal(verdict.explanation.key, 'b');
});

test('concurrent appends may come in any order, but in one order for all', () => {
  const append = (value: string): KeyValueAction => ({ f: 'append', value });
  const get = (value: string): KeyValueAction => ({ f: 'get', value });
  const both = [operation(0, append('a'), 1, 4), operation(1, append('b'), 2, 3)];
  const judge = (...more: Operation<KeyValueAction>[]): boolean =>
    checkLinearizable(keyValueModel, [...both, ...more]).isLinearizable;
  assert.ok(judge(operation(2, get('ab'), 5, 6)));
  assert.ok(judge(operation(2, get('ba'), 5, 6)));
  assert.ok(!judge(operation(2, get('ab'), 5, 6), operation(2, get('ba'), 7, 8)));
  assert.ok(!judge(operation(2, get('a'), 5, 6)));
  assert.ok(judge(operation(2, { f: 'put', value: '' }, 5, 6), operation(2, get(''), 7, 8)));
});

test('thirty concurrent appends that one read orders, and fifteen that a put hides, are judged at once', () => {
  const hidden = Array.from({ length: 15 }, (_, i) =>
    operation(i, { f: 'append', value: `h${i};` } as const, i, 100 + i),
  );
  const put = operation(99, { f: 'put', value: '' } as const, 200, 201);
  const shown = Array.from({ length: 30 }, (_, i) =>
    operation(i, { f: 'append', value: `s${i};` } as const, 300 + i, 400 + i),
  );
  const value = shown
    .map(({ action }) => action.value)
    .reverse()
    .join('');
  const seen = operation(99, { f: 'get', value } as const, 500, 501);
  assert.ok(
    checkLinearizable<string | null, KeyValueAction>(keyValueModel, [...hidden, put, ...shown, seen]).isLinearizable,
  );
  const wrong = operation(98, { f: 'get', value: value.slice(3) } as const, 502, 503);
  assert.ok(
    !checkLinearizable<string | null, KeyValueAction>(keyValueModel, [...hidden, put, ...shown, seen, wrong])
      .isLinearizable,
  );
});

test('a search that would need too much memory or time ends with an error and no verdict', () => {
  const appends = Array.from({ length: 9 }, (_, i) => operation(i, write(String(i)), i, 100 + i));
  assert.throws(() => checkLinearizable(registerModel, appends, { maxConfigurations: 50 }), SearchLimitError);
  assert.throws(() => checkLinearizable(registerModel, appends, { maxComparisons: 500 }), SearchLimitError);
  assert.ok(checkLinearizable(registerModel, appends).isLinearizable);
});

/** By definition: some order of all answered and some open operations that respects time and that the model goes through. */
function bruteForce<State, Action>(model: Model<State, Action>, operations: readonly Operation<Action>[]): boolean {
  const extend = (state: State, left: readonly Operation<Action>[]): boolean => {
    if (left.every(({ returnedAt }) => returnedAt === undefined)) return true;
    const earliest = Math.min(...left.map(({ returnedAt }) => returnedAt ?? Number.POSITIVE_INFINITY));
    return left.some((next) => {
      const after = next.invokedAt < earliest ? model.step(state, next.action) : undefined;
      return (
        after !== undefined &&
        extend(
          after,
          left.filter((other) => other !== next),
        )
      );
    });
  };
  return extend(model.initial, operations);
}

/** Up to seven operations with random, distinct ends. */
function histories<Action>(action: fc.Arbitrary<Action>): fc.Arbitrary<Operation<Action>[]> {
  const ends = fc.uniqueArray(fc.integer({ min: 0, max: 60 }), { minLength: 14, maxLength: 14 });
  const drafts = fc.array(fc.tuple(action, fc.integer({ min: 0, max: 5 })), { maxLength: 7 });
  return fc.tuple(drafts, ends).map(([list, positions]) =>
    list.map(([each, open], index) => {
      const [a, b] = [positions[2 * index]!, positions[2 * index + 1]!];
      return operation(index, each, Math.min(a, b), open === 0 ? undefined : Math.max(a, b));
    }),
  );
}

const small = fc.constantFrom('0', '1', '2');
const registerActions: fc.Arbitrary<RegisterAction> = fc.oneof(
  fc.record({ f: fc.constant('read' as const), value: fc.constantFrom('nil', '0', '1', '2') }),
  fc.record({ f: fc.constant('write' as const), value: small }),
  fc.record({ f: fc.constant('cas' as const), from: small, to: small, swapped: fc.constantFrom(true, false) }),
);
const texts = fc.constantFrom('', 'a', 'b', 'ab', 'aa', 'aab', 'ba');
const keyValueActions: fc.Arbitrary<KeyValueAction> = fc.oneof(
  fc.record({ f: fc.constant('get' as const), value: texts }),
  fc.record({ f: fc.constant('put' as const), value: fc.constantFrom('', 'a', 'b') }),
  fc.record({ f: fc.constant('append' as const), value: fc.constantFrom('a', 'b') }),
);

/** What an open operation would have answered is not known. */
function forget(operations: Operation<RegisterAction>[]): Operation<RegisterAction>[] {
  return operations.map((each) =>
    each.returnedAt === undefined && each.action.f === 'cas'
      ? { ...each, action: { ...each.action, swapped: undefined } }
      : each,
  );
}

test('the verdict on tiny histories of a register is that of trying every order', () => {
  let good = 0;
  fc.assert(
    fc.property(histories(registerActions).map(forget), (operations) => {
      const expected = bruteForce(registerModel, operations);
      good += Number(expected);
      assert.equal(checkLinearizable(registerModel, operations).isLinearizable, expected);
    }),
    { numRuns: 3_000, seed: 11 },
  );
  assert.ok(good > 300 && good < 2_700, `both verdicts were met, ${good} of 3000 good`);
});

test('the verdict on tiny histories of a key is that of trying every order', () => {
  let good = 0;
  fc.assert(
    fc.property(histories(keyValueActions), (operations) => {
      const expected = bruteForce(keyValueModel, operations);
      good += Number(expected);
      assert.equal(checkLinearizable(keyValueModel, operations).isLinearizable, expected);
    }),
    { numRuns: 3_000, seed: 12 },
  );
  assert.ok(good > 300 && good < 2_700, `both verdicts were met, ${good} of 3000 good`);
});

test('the history up to the unexplained answer is the shortest prefix that is not linearizable', () => {
  const until = (operations: readonly Operation<RegisterAction>[], position: number): Operation<RegisterAction>[] =>
    operations
      .filter(({ invokedAt }) => invokedAt <= position)
      .map((each) => (each.returnedAt! <= position ? each : { ...each, returnedAt: undefined }));
  fc.assert(
    fc.property(histories(registerActions).map(forget), (operations) => {
      const failed = findUnexplained(registerModel, operations);
      if (failed === undefined) return;
      assert.ok(!bruteForce(registerModel, until(operations, failed.returnedAt!)));
      assert.ok(bruteForce(registerModel, until(operations, failed.returnedAt! - 0.5)));
    }),
    { numRuns: 1_000, seed: 13 },
  );
});

test('what an explanation shows is impossible by itself, from each state that it names', () => {
  fc.assert(
    fc.property(histories(registerActions).map(forget), (operations) => {
      const verdict = checkLinearizable(registerModel, operations);
      if (verdict.isLinearizable) return;
      const { statesBefore, operations: shown, failed } = verdict.explanation;
      assert.ok(shown.some(({ invokedAt }) => invokedAt === failed.invokedAt));
      for (const initial of statesBefore) assert.ok(!bruteForce({ ...registerModel, initial }, forget([...shown])));
    }),
    { numRuns: 1_000, seed: 14 },
  );
});

test('the recorder keeps the order of calls, drops what failed, and leaves open what has no answer', () => {
  const recorder = new HistoryRecorder<RegisterAction>();
  const first = recorder.invoke('a', 'k', write('1'));
  const second = recorder.invoke('b', 'k', { f: 'read', value: undefined });
  const third = recorder.invoke('c', 'k', write('2'));
  recorder.ok(second, read('1'));
  recorder.fail(third);
  assert.deepEqual(recorder.operations(), [
    { process: 'a', key: 'k', action: write('1'), invokedAt: 0, returnedAt: undefined },
    { process: 'b', key: 'k', action: read('1'), invokedAt: 1, returnedAt: 3 },
  ]);
  assert.throws(() => recorder.ok(second, read('1')), /has its answer already/);
  assert.throws(() => recorder.fail(third), /has its answer already/);
  recorder.ok(first, write('1'));
  assert.equal(recorder.operations()[0]!.returnedAt, 4);
});
