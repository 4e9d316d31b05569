import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { findJsonFault } from './json-fault.js';

/** What is wrong with a text, with `^` put into it at the place. */
function told(text: string): string | undefined {
  const fault = findJsonFault(text);
  return fault && `${text.slice(0, fault.offset)}^${text.slice(fault.offset)}: ${fault.what}`;
}

test('each kind of mistake is told where it is, and as what it is', () => {
  for (const [text, expected] of [
    ['{"a": 1,}', '{"a": 1^,}: there is a comma before }'],
    ['[1, 2,\n]', '[1, 2^,\n]: there is a comma before ]'],
    ['{"a": 1', '{"a": 1^: the JSON ends where a comma or } is expected'],
    ['{"a": [1, 2}', '{"a": [1, 2^}: "}" stands where a comma or ] is expected'],
    ['{"a": 1 "b": 2}', `{"a": 1 ^"b": 2}: '"' stands where a comma or } is expected`],
    ['{"a" 1}', '{"a" ^1}: "1" stands where a colon after the key is expected'],
    ["{'a': 1}", `{^'a': 1}: "'" stands where a key in double quotes is expected`],
    ['{a: 1}', '{^a: 1}: "a" stands where a key in double quotes is expected'],
    [
      '{\n// no\n"a": 1}',
      '{\n^// no\n"a": 1}: "//" stands where a key in double quotes is expected, and JSON has no comments',
    ],
    ['{"a": NaN}', '{"a": ^NaN}: "NaN" stands where a value is expected'],
    ['{"a": -Infinity}', '{"a": ^-Infinity}: "-Infinity" stands where a value is expected'],
    ['{"a": tru}', '{"a": ^tru}: "tru" stands where a value is expected'],
    ['{"a": truely}', '{"a": true^ly}: "ly" stands right behind a value'],
    ['{"a": 09}', '{"a": ^09}: 09 is no number of JSON'],
    ['{"a": 1.}', '{"a": ^1.}: 1. is no number of JSON'],
    ['{"a": "\\x"}', '{"a": "^\\x"}: \\x is no escape; a backslash is written \\\\'],
    ['{"a": "\\u12"}', '{"a": "^\\u12"}: \\u is no escape; a backslash is written \\\\'],
    ['{"a": "b\tc"}', '{"a": "b^\tc"}: a text has \\t as it is and not escaped'],
    ['{"a": "b\nc"}', '{"a": ^"b\nc"}: this text does not end in its line'],
    ['{"a": "b', '{"a": ^"b: this text has no end'],
    ['{"a": 1, "b": {"c": 1, "c": 2}}', '{"a": 1, "b": {"c": 1, ^"c": 2}}: the key "c" is there twice'],
    ['{"a": 1, "\\u0061": 2}', '{"a": 1, ^"\\u0061": 2}: the key "a" is there twice'],
    ['{} {}', '{} ^{}: "{" stands where its end is expected'],
    ['', '^: the JSON ends where a value is expected'],
    [' \n', ' \n^: the JSON ends where a value is expected'],
    ['\u{1f600}', '^\u{1f600}: "\u{1f600}" stands where a value is expected'],
  ] as const)
    assert.equal(told(text), expected);
  assert.match(told('['.repeat(100_000)) ?? '', /nested more than 100 deep$/);
});

test('what JSON.parse takes has no fault, and what it refuses has one', () => {
  const parses = (text: string): boolean => {
    try {
      JSON.parse(text);
      return true;
    } catch {
      return false;
    }
  };
  fc.assert(
    fc.property(
      fc.json({ maxDepth: 4 }),
      fc.nat(),
      fc.constantFrom('', ...'{}[],:"\\x-0e. \t\n\u0001'),
      (json, at, put) => {
        assert.equal(findJsonFault(json), undefined);
        // One character more, less or another.
        const place = at % (json.length + 1);
        const changed = json.slice(0, place) + put + json.slice(place + (put === '' ? 1 : at % 2));
        const fault = findJsonFault(changed);
        if (fault?.what.endsWith('is there twice')) return;
        assert.equal(fault === undefined, parses(changed), JSON.stringify(changed));
        if (fault) assert.ok(fault.offset >= 0 && fault.offset <= changed.length);
      },
    ),
    { numRuns: 2_000 },
  );
});
