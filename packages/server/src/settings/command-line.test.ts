import assert from 'node:assert/strict';
import { test } from 'node:test';
import { normalizeArguments, parseCommandLine } from './command-line.js';
import { resolveSettings, toOptions } from './effective.js';
import { resolveOptions } from './options.js';
import { settings } from './settings.js';

const parse = (line: string) =>
  toOptions(resolveSettings([parseCommandLine(line === '' ? [] : line.split(' '), '1.2.3').flags]));

/** Runs with what would be printed kept. */
function printed(run: () => unknown): { text: string; error: unknown } {
  const { stdout, stderr } = process;
  const [out, err] = [stdout.write, stderr.write];
  let text = '';
  const keep = (chunk: string | Uint8Array): boolean => {
    text += String(chunk);
    return true;
  };
  stdout.write = keep as typeof stdout.write;
  stderr.write = keep as typeof stderr.write;
  try {
    run();
    return { text, error: undefined };
  } catch (error) {
    return { text, error };
  } finally {
    stdout.write = out;
    stderr.write = err;
  }
}

test('every flag of the reference works, with one dash and with two', () => {
  const line =
    '--addr 127.0.0.1:9001 --grpc --http --bootstrap --data-dir /d --id n1 --in-memory --join 127.0.0.1:9000 --rpc-port 9201';
  for (const spelling of [line, line.replaceAll('--', '-')]) {
    const options = parse(spelling);
    assert.equal(options.addr, '127.0.0.1:9001');
    assert.deepEqual([options.grpc, options.http, options.bootstrap, options.inMemory], [true, true, true, true]);
    assert.deepEqual([options.dataDir, options.id, options.rpcPort], ['/d', 'n1', 9201]);
    assert.deepEqual(options.join, ['127.0.0.1:9000']);
  }
  assert.equal(parse('--addr=127.0.0.1:9001').addr, '127.0.0.1:9001');
  assert.equal(parse('-rpc-port=9205').rpcPort, 9205);
});

test('join addresses are repeated, comma separated, or both', () => {
  assert.deepEqual(parse('--join a:1,b:2 --join c:3,').join, ['a:1', 'b:2', 'c:3']);
});

test('a boolean is turned on and off by its value or by --no-', () => {
  assert.equal(parse('').inMemory, true);
  for (const off of ['--in-memory=false', '-in-memory=0', '--no-in-memory']) assert.equal(parse(off).inMemory, false);
  for (const on of ['--http', '--http=true', '-http=1', '--http=yes']) assert.equal(parse(on).http, true);
  assert.throws(() => normalizeArguments(['--grpc=maybe']), { message: /--grpc is "maybe"; it takes true or false/ });
});

test('an option that takes one value is refused when it is given twice, whatever its spelling', () => {
  for (const [line, message] of [
    ['--rpc-port 1 --rpc-port 2', '--rpc-port is given twice'],
    ['--rpc-port 1 -rpc-port=1', '--rpc-port is given twice'],
    ['--conf a.json --conf b.json', '--conf is given twice'],
    ['--http --http=false', '--http is given twice'],
    ['--in-memory=false --http --in-memory', '--in-memory is given twice'],
    ['--no-grpc --no-grpc', '--grpc is given twice'],
  ] as const) {
    const { text, error } = printed(() => parse(line));
    assert.equal((error as { exitCode?: number } | undefined)?.exitCode, 1, line);
    assert.equal(text, `dcache: ${message}\n`);
  }
});

test('sizes and times are read with their units', () => {
  const options = parse('--max-value-bytes 2mb --max-bytes 3gb --request-timeout 2s --remove-failed-after 1m');
  assert.equal(options.maxValueBytes, 2 * 2 ** 20);
  assert.equal(options.maxBytes, 3 * 2 ** 30);
  assert.equal(options.requestTimeoutMs, 2_000);
  assert.equal(options.removeFailedAfterMs, 60_000);
});

test('what the command line gives by default is what the library has by default', () => {
  const { logLevel, ...options } = parse('--http');
  assert.equal(logLevel, 'info');
  assert.deepEqual(resolveOptions(options), resolveOptions({ http: true }));
});

test('bounds that only a founder has are told to the server only where somebody gave them', () => {
  const bounds = (line: string) => resolveOptions(parse(line)).asked;
  assert.deepEqual(bounds('--http'), { maxBytes: undefined, eviction: undefined });
  assert.deepEqual(bounds('--http --max-bytes 1gb --eviction sieve'), { maxBytes: 2 ** 30, eviction: 'sieve' });
});

test('an unknown flag, a missing value, and a word too many end with an exit code and one message', () => {
  for (const [line, message] of [
    ['--nope', /unknown option '--nope'/],
    ['--addr', /argument missing/],
    ['--http stray', /unknown command 'stray'/],
    ['config stray', /too many arguments/],
  ] as const) {
    const { text, error } = printed(() => parse(line));
    assert.equal((error as { exitCode?: number }).exitCode, 1, line);
    assert.match(text, message);
    assert.match(text, /^dcache: .*\n$/, 'in one line, as all that is wrong');
  }
});

test('a value of the wrong kind is an error that names the flag, what it got and what it takes', () => {
  for (const [line, message] of [
    ['--rpc-port many', /--rpc-port is "many"; it takes a whole number/],
    ['--max-bytes lots', /--max-bytes is "lots"; it takes bytes/],
    ['--request-timeout soon', /--request-timeout is "soon"; it takes/],
    ['--log-level loud', /--log-level is "loud"; it takes trace, debug, info/],
  ] as const)
    assert.throws(() => parse(line), { name: 'TypeError', message });
});

test('the help has every setting, its default, and the name of it in the environment by an example', () => {
  const { text } = printed(() => parse('--help'));
  const flat = text.replace(/\s+/g, ' ');
  for (const { name, byDefault } of settings) {
    const about = new RegExp(`--${name} .*?\\(default (.*?)\\)`).exec(flat);
    assert.ok(about, `--${name} is in the help with a default`);
    if (byDefault) assert.ok(about[1]!.includes(byDefault), `--${name} (default ${about[1]})`);
  }
  assert.match(flat, /--rpc-port as DCACHE_RPC_PORT/);
});

test('help and version are printed and are no error', () => {
  for (const flag of ['-h', '--help', '-help']) {
    const { text, error } = printed(() => parse(flag));
    assert.equal((error as { exitCode?: number }).exitCode, 0);
    for (const name of ['--addr', '--grpc', '--http', '--bootstrap', '--data-dir', '--id', '--join', '--rpc-port'])
      assert.ok(text.includes(name), `${name} is in the help`);
  }
  assert.match(printed(() => parse('--version')).text, /1\.2\.3/);
});
