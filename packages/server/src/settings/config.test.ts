import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { formatConfiguration, loadConfiguration } from './config.js';
import { dataDirFault, toOptions } from './effective.js';
import { resolveOptions } from './options.js';

let folder: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dcache-config-'));
});

after(() => rm(folder, { recursive: true }));

async function file(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

const load = (args: string[], environment: NodeJS.ProcessEnv = {}) => loadConfiguration(args, environment, '1.2.3');

async function options(args: string[], environment: NodeJS.ProcessEnv = {}) {
  return toOptions((await load(args, environment)).effective);
}

/** The same settings in every format, keys spelled with `-` in some and with `_` in others. */
const samples: Record<string, string> = {
  'c.json': '{"http": true, "rpc_port": 9300, "in-memory": false, "join": ["a:1", "b:2"], "max-bytes": "2gb"}',
  'c.toml': 'http = true\nrpc-port = 9300\nin_memory = false\njoin = ["a:1", "b:2"]\nmax_bytes = "2gb"\n',
  'c.yaml': 'http: true\nrpc_port: 9300\nin-memory: false\njoin:\n  - a:1\n  - b:2\nmax-bytes: 2gb\n',
  'c.yml': 'http: true\nrpc-port: 9300\nin_memory: false\njoin: [a:1, b:2]\nmax_bytes: 2gb\n',
  'c.hcl': 'http = true\nrpc_port = 9300\nin-memory = false\njoin = ["a:1", "b:2"]\nmax_bytes = "2gb"\n',
  'c.ini': '; a comment\nhttp = true\nrpc-port = 9300\nin_memory = false\njoin = a:1,b:2\nmax-bytes = 2gb\n',
  '.env': '# a comment\nDCACHE_HTTP=true\nDCACHE_RPC_PORT=9300\nin_memory=false\nJOIN="a:1,b:2"\nmax_bytes=2gb\n',
  'c.properties': '# a comment\nhttp=true\nrpc-port: 9300\nin_memory = false\njoin=a:1,b:2\nmax-bytes=2gb\n',
};

test('a file of every format says the same, with - or _ in its keys', async () => {
  for (const [name, text] of Object.entries(samples)) {
    const got = await options(['--conf', await file(name, text)]);
    assert.deepEqual(
      [got.http, got.rpcPort, got.inMemory, got.join, got.maxBytes],
      [true, 9300, false, ['a:1', 'b:2'], 2 * 2 ** 30],
      name,
    );
  }
});

test('in a comment of a properties file nothing is an escape, in a line that looks like one but goes on it is', async () => {
  const text = '! the log lives under C:\\users\r\n  # and \\u12\\\nrpc-port=9300\n';
  assert.equal((await options(['--conf', await file('comment.properties', text)])).rpcPort, 9300);
  const goesOn = await file('goes-on.properties', 'id=a\\\n# \\u12z\n');
  await assert.rejects(options(['--conf', goesOn]), /line 2, column 3: \\u12z is no escape/);
});

test('a flag wins over the environment, the environment over the file, the file over the default', async () => {
  const conf = await file('p.toml', 'rpc-port = 1\nid = "file"\naddr = "127.0.0.1:1"\n');
  const environment = { DCACHE_RPC_PORT: '2', DCACHE_ID: 'environment', DCACHE_CONF: conf };
  const got = await options(['--rpc-port', '3'], environment);
  assert.deepEqual(
    [got.rpcPort, got.id, got.addr, got.readConsistency],
    [3, 'environment', '127.0.0.1:1', 'linearizable'],
  );
});

test('a boolean that a file turns on is turned off by a flag', async () => {
  const conf = await file('b.json', '{"http": true, "grpc": true}');
  const got = await options(['--conf', conf, '--http=false']);
  assert.deepEqual([got.http, got.grpc], [false, true]);
});

test('dcache config prints each value and where it comes from', async () => {
  const conf = await file('o.toml', 'id = "n1"\njoin = ["a:1", "b:2"]\n');
  const { action, effective } = await load(['config', '--conf', conf, '--http'], { DCACHE_RPC_PORT: '9300' });
  assert.equal(action, 'config');
  const lines = formatConfiguration(effective).split('\n');
  const line = (name: string): string | undefined => lines.find((one) => one.startsWith(`${name} =`));
  assert.match(line('http') ?? '', /^http = true +# flag --http$/);
  assert.match(line('rpc-port') ?? '', /^rpc-port = 9300 +# environment DCACHE_RPC_PORT$/);
  assert.ok(line('id')?.startsWith('id = n1') && line('id')?.endsWith(`# file ${conf}`));
  assert.match(line('join') ?? '', /^join = a:1,b:2 +# file /);
  assert.match(line('eviction') ?? '', /^eviction = sieve +# default$/);
});

test('dcache config shows what holds by default, also where that follows from another setting or cannot be written', async () => {
  const printed = async (...args: string[]) => formatConfiguration((await load(['config', ...args])).effective);
  assert.match(await printed(), /^remove-failed-after = 30s +# default$/m);
  for (const onDisk of ['--in-memory=false', '--no-in-memory'])
    assert.match(await printed(onDisk), /^remove-failed-after = 10m +# default$/m);
  assert.match(await printed('--in-memory=false', '--remove-failed-after', '1h'), /^remove-failed-after = 1h +# flag/m);
  const lines = (await printed()).split('\n').filter((line) => / = +#/.test(line));
  assert.ok(lines.length > 8);
  for (const line of lines) assert.match(line, /# default: (none|off|the bound address)$/);
});

test('a data directory for a log that is kept in memory is told, unless somebody said that it is', async () => {
  const fault = async (args: string[], environment: NodeJS.ProcessEnv = {}) =>
    dataDirFault((await load(args, environment)).effective);
  assert.match(
    (await fault(['--data-dir', '/d']))!,
    /^--data-dir \/d has no effect: .* in memory, .*--in-memory=false/,
  );
  const conf = await file('data-dir.toml', 'data-dir = "/d"');
  assert.match((await fault(['--conf', conf]))!, /^--data-dir \/d has no effect \(.*data-dir\.toml\): /);
  for (const args of [[], ['--data-dir', '/d', '--in-memory=false'], ['--data-dir', '/d', '--in-memory']])
    assert.equal(await fault(args), undefined, args.join(' '));
  assert.equal(await fault(['--data-dir', '/d'], { DCACHE_IN_MEMORY: 'false' }), undefined);
  assert.equal(await fault([], { DCACHE_DATA_DIR: '/d' }), undefined, 'an image may say where it would be');
});

test('the default that depends on the disk is the one that counts', async () => {
  for (const inMemory of [true, false]) {
    const { logLevel, ...got } = await options(['--http', `--in-memory=${inMemory}`]);
    assert.equal(got.removeFailedAfterMs, resolveOptions({ http: true, inMemory }).removeFailedAfterMs);
  }
});

test('a broken file of each format is one line that names it, with the line where it can be told', async () => {
  const broken: [string, string, RegExp][] = [
    ['x.json', '{"http": tru}', /x\.json is broken: line 1, column 10: "tru" stands where a value is expected/],
    ['x.json', '{\n  "http": true,\n', /x\.json is broken: line 3, column 1: .*JSON/],
    ['x.json', '{"http": true,\n "http": false}', /x\.json is broken: line 2, column 2: the key "http" is there twice/],
    ['x.toml', 'http = true\nrpc-port = = 3\n', /x\.toml is broken: line 2, column 12: /],
    ['x.yaml', 'http: true\n  rpc: [1,\n', /x\.yaml is broken: line \d, column \d+: .*\w$/],
    ['x.yaml', 'http: true\nhttp: false\n', /x\.yaml is broken: line 2, column 1: Map keys must be unique$/],
    ['x.hcl', 'http = \n', /x\.hcl is broken: line 1, column 8: Invalid expression/],
    ['x.hcl', 'http = true\nhttp = true\n', /x\.hcl is broken: line 2, column 1: Attribute redefined/],
    ['x.ini', 'http = true\nnonsense\n', /x\.ini is broken: line 2 is "nonsense", not key=value/],
    ['x.env', 'HTTP=true\nnonsense\n', /x\.env is broken: line 2 is "nonsense", not key=value/],
    ['x.ini', 'id = a\nhttp=true\n id=b', /x\.ini is broken: line 3: the key "id" is there twice/],
    ['x.env', 'ID=a\nexport ID=b\n', /x\.env is broken: line 2: the key "ID" is there twice/],
    ['x.properties', 'id=a\nid : b\n', /x\.properties is broken: line 2: the key "id" is there twice/],
    ['x.properties', 'http=true\nid=a\\u12z\n', /x\.properties is broken: line 2, column 5: \\u12z is no escape/],
    ['x.txt', 'http=true', /x\.txt is of no known format; it takes JSON/],
    ['missing.json', '', /missing\.json cannot be read: .*ENOENT/],
  ];
  for (const [name, text, message] of broken) {
    const path = name.startsWith('missing') ? join(folder, name) : await file(name, text);
    await assert.rejects(load(['--conf', path]), (error: Error) => {
      assert.ok(error instanceof TypeError, name);
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /\n/, 'one line');
      return true;
    });
  }
});

test('an unknown key, flag or variable and a value of the wrong kind are refused with what is allowed', async () => {
  await assert.rejects(
    load(['--conf', await file('u.toml', 'rpcport = 1')]),
    /unknown key "rpcport"; it takes addr, grpc/,
  );
  await assert.rejects(load(['--conf', await file('s.ini', '[section]\nhttp=true')]), /line 1 is "\[section\]"/);
  await assert.rejects(load(['--conf', await file('n.json', '{"http": {"a": 1}}')]), /http = \{"a":1\}; it takes text/);
  await assert.rejects(load(['--conf', await file('l.json', '[1]')]), /holds no settings/);
  await assert.rejects(load(['--conf', await file('t.json', '{"id": "a", "ID": "b"}')]), /has id twice/);
  await assert.rejects(load([], { DCACHE_RPCPORT: '1' }), /unknown variable DCACHE_RPCPORT; there are DCACHE_ADDR/);
  const wrong = await file('w.toml', 'rpc-port = "many"');
  await assert.rejects(options(['--conf', wrong]), /--rpc-port is "many"; it takes a whole number \(.*w\.toml\)/);
  await assert.rejects(
    options([], { DCACHE_HTTP: 'maybe' }),
    /--http is "maybe"; it takes true or false \(DCACHE_HTTP\)/,
  );
});

test('what a container runtime sets beside a service called dcache is no setting, a mistaken port is', async () => {
  const links = {
    DCACHE_SERVICE_HOST: '10.0.0.1',
    DCACHE_SERVICE_PORT: '9200',
    DCACHE_SERVICE_PORT_RPC: '9200',
    DCACHE_PORT: 'tcp://10.0.0.1:9200',
    DCACHE_PORT_9200_TCP: 'tcp://10.0.0.1:9200',
    DCACHE_PORT_9200_TCP_ADDR: '10.0.0.1',
    DCACHE_PEERS_SERVICE_HOST: '10.0.0.2',
    DCACHE_TOKEN: 'the client’s',
    DCACHE_CLIENT_ADDR: 'the client’s',
  };
  assert.equal((await options([], { ...links, DCACHE_RPC_PORT: '9300' })).rpcPort, 9300);
  await assert.rejects(load([], { DCACHE_PORT: '9300' }), /unknown variable DCACHE_PORT; there are DCACHE_ADDR/);
});

test('a file has one encoding, UTF-8, with a byte order mark or without', async () => {
  for (const [name, text] of [
    ['m.json', '{"http": true}'],
    ['m.toml', 'http = true'],
    ['m.yaml', 'http: true'],
    ['m.hcl', 'http = true'],
    ['m.ini', 'http = true'],
    ['m.env', 'HTTP=true'],
    ['m.properties', 'http = true'],
  ] as const)
    assert.equal((await options(['--conf', await file(name, `\ufeff${text}`)])).http, true, name);
  const path = await file('latin1.toml', '');
  await writeFile(path, Buffer.from('id = "caf\xe9"', 'latin1'));
  await assert.rejects(load(['--conf', path]), /latin1\.toml is no text in UTF-8$/);
});

test('an empty file says nothing', async () => {
  for (const name of ['e.toml', 'e.yaml', 'e.ini', 'e.env', 'e.properties', 'e.hcl'])
    assert.equal((await options(['--conf', await file(name, '\n')])).rpcPort, 9200, name);
});
