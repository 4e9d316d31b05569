import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Tokens } from './tokens.js';

const folder = mkdtempSync(join(tmpdir(), 'dcache-tokens-'));
const file = join(folder, 'tokens');
after(() => rmSync(folder, { recursive: true }));

const full = 'full-access-token-1';
const reader = 'read-only-token-22';

function tokens(text: string): Tokens {
  writeFileSync(file, text);
  return new Tokens(file);
}

test('a token may read and write, a read token only read', () => {
  const known = tokens(`# staff\n${full}\n\nread ${reader}\n`);
  known.check(`Bearer ${full}`, 'write');
  known.check(`bearer ${full}`, 'read');
  known.check(`Bearer ${reader}`, 'read');
  assert.throws(() => known.check(`Bearer ${reader}`, 'write'), { code: 'forbidden', message: /may only read/ });
});

test('no token, another scheme, a wrong token and a part of one are refused', () => {
  const known = tokens(`${full}\n`);
  for (const shown of [
    undefined,
    '',
    full,
    `Basic ${full}`,
    'Bearer ',
    `Bearer ${full}x`,
    `Bearer ${full.slice(0, -1)}`,
  ])
    assert.throws(() => known.check(shown, 'read'), { code: 'unauthenticated' }, String(shown));
});

test('a file that is missing, empty or broken is refused with the line and what is allowed', () => {
  assert.throws(() => new Tokens(join(folder, 'nothing')), /--auth-token-file .*nothing cannot be read/);
  assert.throws(() => tokens('# nobody\n'), /holds no token/);
  assert.throws(() => tokens(`${full}\nshort\n`), /line 2 is no token; a line is TOKEN or read TOKEN, 16 characters/);
  assert.throws(() => tokens(`write ${full}\n`), /line 1 is no token/);
});

test('a file that is replaced counts from the reload on, and a broken one changes nothing', () => {
  const known = tokens(`${full}\n`);
  writeFileSync(file, `${reader}\n`);
  known.reload();
  known.check(`Bearer ${reader}`, 'write');
  assert.throws(() => known.check(`Bearer ${full}`, 'read'), { code: 'unauthenticated' });
  writeFileSync(file, 'short\n');
  assert.throws(() => known.reload());
  known.check(`Bearer ${reader}`, 'write');
});
