import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const textOf = (path: string): string => readFileSync(fileURLToPath(new URL(path, import.meta.url)), 'utf8');

/** The members of a union of strings in a source. */
function membersOf(source: string, union: string): string[] {
  const body = new RegExp(`export type ${union} =([^;]+);`).exec(textOf(source))?.[1] ?? '';
  return [...body.matchAll(/'([a-z-]+)'/g)].map(([, member]) => member!);
}

test('the README lists every code and reason that a user can meet, and every variable of the command line', () => {
  const readme = textOf('../README.md');
  const codes = membersOf('../src/errors.ts', 'ClientErrorCode');
  const reasons = membersOf('../src/connect-fault.ts', 'ClientErrorReason');
  assert.ok(codes.length > 10 && reasons.length > 10);
  const variables = [...textOf('../src/command-line.ts').matchAll(/\.env\('(\w+)'\)/g)].map(([, name]) => name!);
  assert.deepEqual(variables, ['DCACHE_CLIENT_ADDR', 'DCACHE_TOKEN']);
  for (const name of [...codes, ...reasons, ...variables]) assert.ok(readme.includes(`\`${name}\``), name);
});
