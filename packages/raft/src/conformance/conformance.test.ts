import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { differenceText, runScripts } from './run.js';

const beside = fileURLToPath(new URL('../../../../../shared/conformance', import.meta.url));
const given = process.env['CONFORMANCE_DIR'] ?? beside;
const folder = existsSync(join(given, 'etcd-raft')) ? join(given, 'etcd-raft') : given;
const skip = existsSync(folder) ? false : `no scripts at ${folder}; set CONFORMANCE_DIR`;

describe("etcd's scripts", { skip }, () => {
  const results = skip === false ? runScripts(folder) : [];
  test('there are some', () => assert.ok(results.length > 0));
  for (const { file, mismatch } of results)
    test(`${file} comes out byte for byte`, () => {
      if (mismatch !== undefined) assert.fail(`line ${mismatch.line}\n${differenceText(mismatch)}`);
    });
});

describe('scripts of our own, for commands and options that those seldom use', () => {
  const results = runScripts(fileURLToPath(new URL('../../src/conformance/scripts', import.meta.url)));
  test('there are some', () => assert.ok(results.length >= 3));
  for (const { file, mismatch } of results)
    test(`${file} comes out byte for byte`, () => {
      if (mismatch !== undefined) assert.fail(`line ${mismatch.line}\n${differenceText(mismatch)}`);
    });
});

describe('the runner', () => {
  /** Runs one file of this text. */
  function run(text: string, name = 'script.txt'): ReturnType<typeof runScripts> {
    const temporary = mkdtempSync(join(tmpdir(), 'conformance-'));
    try {
      writeFileSync(join(temporary, name), text);
      return runScripts(temporary);
    } finally {
      rmSync(temporary, { recursive: true });
    }
  }

  test('a script that expects something else fails, and the difference shows both', () => {
    const [result] = run('vote cfg=(1) votes=(n)\n----\nVoteWon\n');
    assert.equal(result?.mismatch?.line, 1);
    assert.equal(differenceText(result.mismatch), '- VoteWon\n+ VoteLost\n  ');
  });

  test('output that holds blank lines is fenced, and a command goes on after a backslash', () => {
    const [result] = run('vote cfg=(1,2) \\\n  votes=(y,y)\n----\n----\nVoteWon\n----\n----\n\nvote\n----\nVoteWon\n');
    assert.deepEqual([result?.commands, result?.mismatch], [2, undefined]);
  });

  test('a command that is not known fails its script', () => {
    const [result] = run('log-level none\n----\nok\n\nfly\n----\nok\n');
    assert.equal(result?.mismatch?.actual, 'unknown command\n');
  });

  test('a script that cannot be read, or asks for too much, fails alone and the others go on', () => {
    const temporary = mkdtempSync(join(tmpdir(), 'conformance-'));
    try {
      writeFileSync(join(temporary, 'a.txt'), 'add-nodes 1000000000 voters=(1) index=2\n----\nok\n');
      writeFileSync(join(temporary, 'b.txt'), 'stabilize\n----\nok\n\ncampaign 1\n');
      writeFileSync(join(temporary, 'c.txt'), 'add-nodes 1 fly=true\n----\nok\n');
      symlinkSync(join(temporary, 'nowhere'), join(temporary, 'd.txt'));
      mkdirSync(join(temporary, 'deeper'));
      writeFileSync(join(temporary, 'deeper', 'e.txt'), 'vote cfg=(1) votes=(y)\n----\nVoteWon\n');
      const results = runScripts(temporary);
      assert.deepEqual(
        results.map(({ file, mismatch }) => [file, mismatch?.actual.trimEnd()]),
        [
          ['a.txt', 'a script has at most 1000 nodes'],
          ['b.txt', "Error: line 5: 'campaign 1' has no ---- after it"],
          ['c.txt', 'unknown argument fly'],
          ['deeper/e.txt', undefined],
        ],
      );
    } finally {
      rmSync(temporary, { recursive: true });
    }
  });

  test('a difference of many thousand lines is shown without comparing each with each', () => {
    const lines = (word: string): string => `${word}\n`.repeat(30_000);
    const text = differenceText({ line: 1, command: 'x', expected: lines('a'), actual: lines('b') });
    assert.ok(text.startsWith('- a\n- a\n') && text.endsWith('+ b\n+ '));
  });

  test('files that are no scripts are left out', () => {
    assert.deepEqual(run('Apache License\n\n----\n', 'LICENSE'), []);
    assert.deepEqual(run('# notes\n\n|---|\n', 'README.md'), []);
  });
});
