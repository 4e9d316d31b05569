import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CommanderError } from 'commander';
import { type Action, parseCommandLine } from './command-line.js';

const actionOf = (...args: string[]): Action => parseCommandLine(args, '0').action;

test("the original's flags are understood in both spellings", () => {
  for (const dashes of ['-', '--']) {
    const servers = parseCommandLine([`${dashes}addr`, 'h:1', `${dashes}get-servers`], '0');
    assert.deepEqual(servers.connection.addresses, ['h:1']);
    assert.deepEqual(servers.action, { kind: 'servers' });
    const set = parseCommandLine([`${dashes}addr=h:1`, `${dashes}key`, 'K'], '0');
    assert.deepEqual(set.action, {
      ...{ kind: 'set', key: 'K', value: undefined, file: '-', ttlMs: undefined, conditions: {} },
    });
  }
});

test('each command becomes what is to be done', () => {
  const key = 'k';
  assert.deepEqual(actionOf('get', key), { kind: 'get', key, level: undefined });
  assert.deepEqual(actionOf('get', key, '--consistency', 'local'), { kind: 'get', key, level: 'local' });
  assert.deepEqual(actionOf('set', key, 'v', '--ttl', '10m', '--if-revision', '7'), {
    kind: 'set',
    key,
    value: 'v',
    file: undefined,
    ttlMs: 600_000,
    conditions: { ifRevision: 7 },
  });
  assert.deepEqual(actionOf('set', '--if-absent', '--', '-key', '-value'), {
    kind: 'set',
    key: '-key',
    value: '-value',
    file: undefined,
    ttlMs: undefined,
    conditions: { ifAbsent: true },
  });
  const fromFile = { kind: 'set', key, value: undefined, file: 'f', ttlMs: undefined, conditions: {} };
  assert.deepEqual(actionOf('set', key, '--file', 'f'), fromFile);
  assert.deepEqual(actionOf('delete', key, '--if-revision', '7'), { kind: 'delete', key, ifRevision: 7 });
  assert.deepEqual(actionOf('servers'), { kind: 'servers' });
  assert.deepEqual(actionOf('status'), { kind: 'status' });
  assert.deepEqual(actionOf('transfer-leadership'), { kind: 'transfer-leadership', to: undefined });
  assert.deepEqual(actionOf('transfer-leadership', 'n2'), { kind: 'transfer-leadership', to: 'n2' });
  assert.deepEqual(actionOf('leave', 'n2'), { kind: 'leave', id: 'n2' });
  assert.deepEqual(actionOf('snapshot-save', 'f'), { kind: 'snapshot-save', file: 'f', level: 'linearizable' });
  assert.deepEqual(actionOf('snapshot-save', 'f', '--consistency', 'local'), {
    kind: 'snapshot-save',
    file: 'f',
    level: 'local',
  });
  assert.deepEqual(actionOf('snapshot-restore', '-'), { kind: 'snapshot-restore', file: '-', replace: false });
  assert.deepEqual(actionOf('snapshot-restore', 'f', '--replace'), {
    kind: 'snapshot-restore',
    file: 'f',
    replace: true,
  });
  assert.deepEqual(actionOf('bench', '--duration', '1s', '--reads', '0'), {
    kind: 'bench',
    durationMs: 1_000,
    clients: 32,
    keys: 1_000,
    valueBytes: 100,
    readPercent: 0,
    level: undefined,
  });
});

test('the connection is the same before a command and after it', () => {
  const flags = ['--addr', 'a:1,b:2', '--timeout', '2s', '--json', '--token', 't', '--tls-ca-file', 'ca.pem'];
  const before = parseCommandLine([...flags, 'get', 'k'], '0').connection;
  assert.deepEqual(parseCommandLine(['get', 'k', ...flags], '0').connection, before);
  assert.deepEqual(before.addresses, ['a:1', 'b:2']);
  assert.equal(before.timeoutMs, 2_000);
  assert.equal(before.isJson, true);
  assert.equal(before.token, 't');
  assert.equal(before.isTls, true);
  assert.equal(before.caFile, 'ca.pem');
  assert.equal(parseCommandLine(['servers'], '0').connection.isTls, false);
});

test("the environment has names of the client's own: the server's DCACHE_ADDR, Serf's address, is not taken", (context) => {
  const before = process.env;
  context.after(() => {
    process.env = before;
  });
  process.env = { DCACHE_ADDR: 'serf:9000', DCACHE_TOKEN: 'secret' };
  const { addresses, token } = parseCommandLine(['servers'], '0').connection;
  assert.deepEqual([addresses, token], [['localhost:9200'], 'secret']);
  process.env = { DCACHE_CLIENT_ADDR: 'a:1,b:2', DCACHE_TOKEN: '' };
  assert.deepEqual(parseCommandLine(['servers'], '0').connection.addresses, ['a:1', 'b:2']);
  assert.equal(parseCommandLine(['servers'], '0').connection.token, undefined);
  assert.deepEqual(parseCommandLine(['--addr', 'c:3', 'servers'], '0').connection.addresses, ['c:3']);
});

test('what is wrong is refused before anything is dialled', (context) => {
  const said = context.mock.method(process.stderr, 'write', () => true);
  const wrong = [
    [],
    ['--get-servers', '--key', 'K'],
    ['--nope'],
    ['stray'],
    ['get'],
    ['get', 'a', 'b'],
    ['get', 'a', '--consistency', 'strong'],
    ['set', 'a', 'b', '--ttl', '0'],
    ['set', 'a', 'b', '--if-absent', '--if-present'],
    ['set', 'a', 'b', '--if-revision', 'x'],
    ['set', 'a', 'b', '--file', 'f'],
    ['get', 'a', '--token', 't', '--token-file', 'f'],
    ['bench', '--reads', '101'],
    ['bench', '--duration', '1'],
    ['bench', '--duration', '99ms'],
    ['snapshot-save', 'f', '--consistency', 'lease'],
    ['--addr', 'a:1,b:2', 'snapshot-save', 'f', '--consistency', 'local'],
    ['snapshot-save', 'f', '--consistency', 'local', '--addr', 'a:1,b:2'],
    ['servers', '--timeout', '0'],
    ['servers', '--tls-cert-file', 'c'],
  ];
  for (const args of wrong) {
    const before = said.mock.callCount();
    assert.throws(() => parseCommandLine(args, '0'), CommanderError, args.join(' '));
    assert.ok(said.mock.callCount() > before, `it says what is wrong with ${args.join(' ')}`);
  }
});

test('a fault of the command line begins like any other, and names what is wrong with it', (context) => {
  const said = context.mock.method(process.stderr, 'write', () => true);
  const faults: readonly (readonly [readonly string[], RegExp])[] = [
    [['gett', 'k'], /^dcache-client: unknown command 'gett'; did you mean get\?\n$/],
    [['zebra'], /^dcache-client: unknown command 'zebra'; see --help\n$/],
    [['set', 'k', 'v', 'more', 'still'], /^dcache-client: 'more' is one argument too many; usage: dcache-client set /],
    [['servers', 'x'], /^dcache-client: 'x' is one argument too many; usage: dcache-client servers/],
    [['get'], /^dcache-client: missing required argument 'key'/],
    [['get', 'k', '--jsom'], /^dcache-client: unknown option '--jsom' \(Did you mean --json\?\)\n$/],
    [['bench', '--duration', '1'], /^dcache-client: .* from 100ms .* without a unit it counts milliseconds/],
  ];
  for (const [args, message] of faults) {
    const before = said.mock.callCount();
    assert.throws(() => parseCommandLine(args, '0'), CommanderError, args.join(' '));
    assert.match(
      said.mock.calls
        .slice(before)
        .map((call) => String(call.arguments[0]))
        .join(''),
      message,
    );
  }
});
