import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConditionType } from './command.js';
import { DcacheError } from './errors.js';
import { judgeRead, parseReadConditions, parseWriteCondition } from './http-condition.js';

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof DcacheError);
    return error.code;
  }
  return 'none';
}

/** What a read of revision 7 answers. */
const read = (match: string | undefined, noneMatch: string | undefined): string =>
  judgeRead(parseReadConditions(match, noneMatch), 7);

test('a read takes If-None-Match as any list of ETags, compared weakly, or * (RFC 9110 §13.1.2)', () => {
  for (const header of [
    '"7"',
    'W/"7"',
    '*',
    ' * ',
    '"1", "7"',
    '"1","7"',
    '"7",',
    ', "1" ,\t"7"',
    '"a,b", "7"',
    'W/"x", W/"7"',
  ])
    assert.equal(read(undefined, header), 'unchanged', header);
  for (const header of ['"1"', '"07"', '"70"', '"a,*,7"', '"*"', '"\xff"', '""', 'W/"70"'])
    assert.equal(read(undefined, header), 'found', header);
});

test('a read takes If-Match as any list of ETags, compared strongly, or * (RFC 9110 §13.1.1)', () => {
  for (const header of ['"7"', '*', '"1", "7"', 'W/"7", "7"']) assert.equal(read(header, undefined), 'found', header);
  for (const header of ['"1"', 'W/"7"', '"1", W/"7"', '"07"', '"a,*,7"'])
    assert.equal(read(header, undefined), 'failed', header);
});

test('of both on a read If-Match is judged first (RFC 9110 §13.2.2)', () => {
  assert.equal(read('"7"', '"7"'), 'unchanged');
  assert.equal(read('"7"', '"1"'), 'found');
  assert.equal(read('"1"', '"7"'), 'failed');
  assert.equal(read('*', '*'), 'unchanged');
});

test('what is no list of ETags is refused, on reads and writes', () => {
  for (const header of [
    '',
    ' ',
    ',',
    '7',
    '"7',
    '7"',
    '"7" "8"',
    '"7"x',
    'w/"7"',
    'W/7',
    '*, "7"',
    '"7", *',
    '**',
    '"a b"',
    '"7", 8',
  ])
    for (const [match, noneMatch] of [
      [header, undefined],
      [undefined, header],
    ] as const) {
      assert.equal(
        codeOf(() => parseReadConditions(match, noneMatch)),
        'bad-argument',
        header,
      );
      assert.equal(
        codeOf(() => parseWriteCondition(match, noneMatch)),
        'bad-argument',
        header,
      );
    }
});

test('a header that is wrong is shown as it was sent, with what a read or a write takes there', () => {
  const list = 'it takes * or ETags in quotes, such as "42", with commas between';
  for (const [run, message] of [
    [() => parseWriteCondition('7', undefined), 'If-Match is 7; a write takes * or one ETag in quotes, such as "42"'],
    [() => parseWriteCondition(undefined, '7'), 'If-None-Match is 7; a write takes *'],
    [
      () => parseWriteCondition(' ', undefined),
      'If-Match is empty; a write takes * or one ETag in quotes, such as "42"',
    ],
    [() => parseReadConditions('"7', undefined), `If-Match is "7; ${list}`],
    [() => parseReadConditions(undefined, '7'), `If-None-Match is 7; ${list}`],
  ] as const)
    assert.throws(run, { code: 'bad-argument', message });
  const long = '7'.repeat(1_000);
  assert.throws(() => parseReadConditions(long, undefined), { message: `If-Match is ${'7'.repeat(80)}; ${list}` });
});

test('a write takes If-None-Match: *, If-Match: *, and If-Match with one ETag of ours', () => {
  assert.equal(parseWriteCondition(undefined, undefined), undefined);
  assert.deepEqual(parseWriteCondition(undefined, '*'), { type: ConditionType.absent, revision: 0 });
  assert.deepEqual(parseWriteCondition('*', undefined), { type: ConditionType.present, revision: 0 });
  for (const header of ['"42"', '"42", "42"', 'W/"1", "42"', '"another-cache", "42"'])
    assert.deepEqual(parseWriteCondition(header, undefined), { type: ConditionType.revision, revision: 42 }, header);
});

test('ETags that no value can have are a condition that never holds; several that could are refused, never ignored', () => {
  for (const header of ['W/"42"', '"0"', '"042"', '"x"', '""', '"9007199254740993"', '"0", W/"1"'])
    assert.deepEqual(
      parseWriteCondition(header, undefined),
      // Not 0, which is what a missing key has.
      { type: ConditionType.revision, revision: Number.MAX_SAFE_INTEGER },
      header,
    );
  assert.equal(
    codeOf(() => parseWriteCondition('"1", "2"', undefined)),
    'bad-argument',
  );
  for (const header of ['"42"', 'W/"42"', '"1", "2"'])
    assert.equal(
      codeOf(() => parseWriteCondition(undefined, header)),
      'bad-argument',
      header,
    );
  for (const match of ['*', '"42"'])
    assert.equal(
      codeOf(() => parseWriteCondition(match, '*')),
      'bad-argument',
    );
});
