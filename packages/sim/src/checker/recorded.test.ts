import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { HistoryFormatError, judgeHistory, parseHistory } from './recorded.js';

const root = fileURLToPath(new URL('../../../../', import.meta.url));
const histories = join(process.env['CONFORMANCE_DIR'] ?? join(root, '../shared/conformance'), 'histories');
const isMissing = existsSync(histories) ? false : `no recorded histories at ${histories}; set CONFORMANCE_DIR`;

const jepsen = (...events: string[]): string => events.map((event) => `INFO  jepsen.util - ${event}`).join('\n');
const staleRead = jepsen(
  '0\t:invoke\t:write\t1',
  '0\t:ok\t:write\t1',
  '1\t:invoke\t:write\t2',
  '1\t:ok\t:write\t2',
  ':nemesis\t:info\t:start\tnil',
  '0\t:invoke\t:read\tnil',
  '0\t:ok\t:read\t1',
);

test('every recorded history of etcd under Jepsen gets its verdict', { skip: isMissing }, () => {
  const folder = join(histories, 'jepsen-etcd');
  const verdicts = readFileSync(join(folder, 'VERDICTS'), 'utf8').trim().split('\n');
  assert.equal(verdicts.length, 78);
  for (const line of verdicts) {
    const file = line.split(' ')[0]!;
    const fault = judgeHistory(parseHistory(readFileSync(join(folder, file), 'utf8')));
    assert.equal(`${file} ${fault === undefined ? 'linearizable' : 'not-linearizable'}`, line);
  }
});

test('every recorded key-value history gets its verdict', { skip: isMissing }, () => {
  const files = readdirSync(join(histories, 'kv'));
  assert.ok(files.length >= 6);
  for (const file of files) {
    const fault = judgeHistory(parseHistory(readFileSync(join(histories, 'kv', file), 'utf8')));
    assert.equal(fault === undefined, file.endsWith('-ok.txt'), file);
  }
});

test('an explanation names the state before, the few operations that matter, and their lines', () => {
  assert.equal(
    judgeHistory(parseHistory(staleRead)),
    [
      'no order of these operations explains line 7, process 0: read 1',
      '  before them: 1',
      '  lines 3-4  process 1  write 2  |-|',
      '  lines 6-7  process 0  read 1       |-|  <- unexplained',
    ].join('\n'),
  );
});

test('an operation with :info, or without an answer at the end of the file, may or may not have happened', () => {
  const asked = ['0 :invoke :write 1', '0 :info :write :timed-out', '2 :invoke :write 5', '1 :invoke :read nil'];
  for (const value of ['1', '5', 'nil'])
    assert.equal(judgeHistory(parseHistory(jepsen(...asked, `1 :ok :read ${value}`))), undefined);
  assert.notEqual(judgeHistory(parseHistory(jepsen(...asked, '1 :ok :read 3'))), undefined);
});

test('a failed write or read never happened; a refused cas saw another value; a cas that was not sent saw nothing', () => {
  const after = (...events: string[]): string | undefined =>
    judgeHistory(parseHistory(jepsen('0 :invoke :write 1', '0 :ok :write 1', ...events)));
  assert.notEqual(after('0 :invoke :write 2', '0 :fail :write 2', '0 :invoke :read nil', '0 :ok :read 2'), undefined);
  assert.equal(after('0 :invoke :read nil', '0 :fail :read :timed-out'), undefined);
  assert.equal(after('0 :invoke :cas [2 3]', '0 :fail :cas [2 3]'), undefined);
  assert.notEqual(after('0 :invoke :cas [1 3]', '0 :fail :cas [1 3]'), undefined);
  assert.equal(after('0 :invoke :cas [1 3]', '0 :fail :cas :timed-out'), undefined);
});

test('EDN maps are read in any order of fields, with escapes and with fields that are not needed', () => {
  const text = [
    '; a comment',
    '{:type :invoke, :f :put, :process 0, :time 12, :key "a b", :value "x\\n\\"y\\""}',
    '{:process 0 :type :ok :f :put :key "a b" :value "x\\n\\"y\\"", :index 4}',
    '{:process 1, :type :invoke, :f :get, :key "a b", :value nil}',
    '{:process 1, :type :ok, :f :get, :key "a b", :value "x\\n\\"y\\""}',
    '',
  ].join('\r\n');
  const history = parseHistory(text);
  assert.equal(history.model, 'key-value');
  assert.deepEqual(history.operations[1], {
    process: '1',
    key: 'a b',
    action: { f: 'get', value: 'x\n"y"' },
    invokedAt: 4,
    returnedAt: 5,
  });
  assert.equal(judgeHistory(history), undefined);
});

test('lines of other loggers and bare events are understood', () => {
  const history = parseHistory(
    [
      'INFO  jepsen.core - Setting up nodes',
      '2016-01-02 10:11:12,345{GMT}\tINFO\t[jepsen worker 0] jepsen.util: 0\t:invoke\t:write\t1',
      'java.lang.RuntimeException: WARN timed out',
      '\tat clojure.core$deref.invoke(core.clj:1)',
      '0\t:ok\t:write\t1',
    ].join('\n'),
  );
  assert.deepEqual(history.operations, [
    { process: '0', key: '', action: { f: 'write', value: '1' }, invokedAt: 2, returnedAt: 5 },
  ]);
});

test('what is no history is refused with the line and the reason', () => {
  const refused = (text: string, reason: RegExp): void =>
    assert.throws(
      () => parseHistory(text),
      (error) => error instanceof HistoryFormatError && reason.test(error.message),
    );
  refused('', /no operation found/);
  refused('INFO nothing here', /no operation found/);
  refused('hello world', /line 1: "hello" is not a value/);
  refused('\u0000\u0001\u0002', /line 1/);
  refused('{:process 0, :type :invoke, :f :append, :key "0", :val', /line 1: .*pairs|line 1: the line ends/);
  refused(`${staleRead}\n{:process 0, :type`, /line 8/);
  refused(jepsen('0 :ok :read 1'), /line 1: :ok :read of process 0 answers no operation/);
  refused(jepsen('0 :invoke :read nil', '0 :ok :write 1'), /line 2: .* answers no operation/);
  refused(jepsen('0 :invoke :read nil', '0 :invoke :read nil'), /line 2: process 0 asks again .* of line 1/);
  refused(jepsen('0 :invoke :cas 3', '0 :ok :cas 3'), /line 1: cas takes \[from to\], got 3/);
  refused(jepsen('0 :invoke :enqueue 3'), /line 1: unknown operation :enqueue/);
  refused(jepsen('0 :invoke :read nil', '1 :invoke :append "x"'), /mixed/);
  refused('['.repeat(100_000), /nested deeper/);
});

test('the command prints a verdict a file, explains on standard error, and exits 2 for what is no history', () => {
  const folder = mkdtempSync(join(tmpdir(), 'check-history-'));
  try {
    const file = (name: string, text: string): string => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };
    const bad = file('stale.log', staleRead);
    const good = file('fine.txt', '{:process 0, :type :invoke, :f :get, :key "0", :value nil}');
    const run = (...args: string[]): ReturnType<typeof spawnSync> =>
      spawnSync(process.execPath, [join(root, 'scripts/check-history.mjs'), ...args], { encoding: 'utf8' });
    const judged = run(bad, good);
    assert.equal(judged.stdout, 'stale.log not-linearizable\nfine.txt linearizable\n');
    assert.match(String(judged.stderr), /stale\.log: no order of these operations explains line 7/);
    assert.equal(judged.status, 0);
    assert.equal(run('--exit-code', bad).status, 1);
    assert.equal(run('--exit-code', good).status, 0);
    const refused = run(file('noise.bin', 'hello'), good);
    assert.equal(refused.status, 2);
    assert.equal(refused.stdout, 'fine.txt linearizable\n');
    assert.match(String(refused.stderr), /noise\.bin: line 1/);
    assert.equal(run().status, 2);
    assert.equal(run(join(folder, 'absent')).status, 2);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
