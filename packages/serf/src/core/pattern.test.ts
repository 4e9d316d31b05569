import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { matchesPattern } from './pattern.js';

test('an expression matches anywhere in the value unless it is anchored', () => {
  const cases: [string, string, boolean][] = [
    ['d.*', 'db', true],
    ['b', 'abc', true],
    ['^b', 'abc', false],
    ['b$', 'abc', false],
    ['^(web|db)$', 'db', true],
    ['^(web|db)$', 'dbx', false],
    ['', '', true],
    ['a', '', false],
    ['.*', '', true],
    ['^$', '', true],
    ['a{2,3}$', 'baaa', true],
    ['^a{2,3}$', 'aaaa', false],
    ['^a{2}$', 'aa', true],
    ['^a{2,}b?$', 'aaaaab', true],
    ['a{,2}', 'a{,2}', true],
    ['[a-c]+[^a-c]', 'abcd', true],
    ['[]a]', ']', true],
    ['[^]a]', ']', false],
    ['[a-]', '-', true],
    ['\\d+\\.\\d+', 'v1.25', true],
    ['\\bcat\\b', 'a cat.', true],
    ['\\bcat\\b', 'concat', false],
    ['\\Bcat', 'concat', true],
    ['(?i)ÄRGER', 'ärger', true],
    ['(?i:A)B', 'aB', true],
    ['(?i:A)B', 'ab', false],
    ['(?s)a.b', 'a\nb', true],
    ['a.b', 'a\nb', false],
    ['(?m)^b$', 'a\nb', true],
    ['^b$', 'a\nb', false],
    ['[[:alpha:]]+[[:digit:]]', 'ab1', true],
    ['[[:^alpha:]]', 'ab', false],
    ['\\pL\\p{Greek}\\PL', 'aω1', true],
    ['\\Qa.b*\\E$', 'a.b*', true],
    ['\\x41\\x{1F600}', 'A😀', true],
    ['^.$', '😀', true],
    ['(?P<name>x)(?:y)', 'xy', true],
    ['(a*)*b', 'aaab', true],
    ['a*?b', 'aab', true],
    ['a||b', '', true],
  ];
  for (const [expression, value, expected] of cases)
    assert.equal(matchesPattern(expression, value), expected, `${expression} on ${JSON.stringify(value)}`);
});

test('what RE2 does not know matches nothing', () => {
  for (const expression of [
    '(a',
    'a)',
    '[a',
    '*a',
    'a**',
    '(?=a)',
    '(?<!a)',
    '(a)\\1',
    'a{3,2}',
    'a{1001}',
    '\\',
    '[b-a]',
  ])
    assert.equal(matchesPattern(expression, 'aaa'), false, expression);
});

test('expressions that hang a backtracking engine take no time', () => {
  const value = `${'a'.repeat(500)}!`;
  for (const expression of [
    '^(a+)+$',
    '^(a|a)*$',
    '^(a|aa)+$',
    '^(.*a){20}$',
    '^((a{0,20}){0,20})$',
    '^((a?){30}){30}$',
    '(x+x+)+y',
  ])
    assert.equal(matchesPattern(expression, value), false, expression);
  assert.equal(matchesPattern('((a{1000}){1000}){1000}', value), false, 'one that grows without bound is not built');
});

test('on what both know it agrees with the engine of the language', () => {
  const piece = fc.constantFrom('a', 'b', 'c', '.', '[ab]', '[^a]', '(a|b)', '(ab)', '\\w', '\\b', '^', '$', '(a|)');
  const part = fc.tuple(piece, fc.constantFrom('', '', '*', '+', '?', '{1,2}', '{2}')).map(([atom, times]) => {
    return atom === '^' || atom === '$' || atom === '\\b' ? atom : atom + times;
  });
  const expression = fc.array(part, { maxLength: 6 }).map((parts) => parts.join(''));
  const either = fc.tuple(expression, expression).map(([left, right]) => `(${left}|${right})`);
  const value = fc.array(fc.constantFrom('a', 'b', 'c', ' '), { maxLength: 8 }).map((list) => list.join(''));
  fc.assert(
    fc.property(fc.oneof(expression, either), value, (pattern, text) => {
      assert.equal(matchesPattern(pattern, text), new RegExp(pattern, 'u').test(text));
    }),
    { numRuns: 5000 },
  );
});

test('any text is an expression or none, and never an error', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.string(), (expression, value) => {
      assert.equal(typeof matchesPattern(expression, value), 'boolean');
    }),
    { numRuns: 3000 },
  );
});
