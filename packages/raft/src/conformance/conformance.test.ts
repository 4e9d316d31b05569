import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
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

  test('files that are no scripts are left out', () => {
    assert.deepEqual(run('Apache License\n\n----\n', 'LICENSE'), []);
    assert.deepEqual(run('# notes\n\n|---|\n', 'README.md'), []);
  });
});
