import assert from 'node:assert/strict';
import { hostname } from 'node:os';
import { test } from 'node:test';
import { parseAddress } from './address.js';
import { parseBytes, parseDurationOption, resolveOptions, type ServerOptions } from './options.js';

test('a server that would serve nothing is refused', () => {
  assert.throws(() => resolveOptions({}), { name: 'TypeError', message: /--grpc, --http or both/ });
  assert.throws(() => resolveOptions({ http: false, grpc: false }), /--grpc/);
});

test('what is not given has the default of the reference', () => {
  const options = resolveOptions({ http: true });
  assert.deepEqual(options.serfAddress, { host: '127.0.0.1', port: 9000 });
  assert.equal(options.rpcPort, 9200);
  assert.equal(options.id, hostname());
  assert.equal(options.inMemory, true);
  assert.equal(options.bootstrap, false);
  assert.match(options.dataDir, /dcache$/);
  assert.deepEqual(options.join, []);
  assert.equal(options.readConsistency, 'linearizable');
  assert.equal(options.maxValueBytes, 1_048_576);
  assert.equal(options.removeFailedAfterMs, 30_000);
  assert.equal(resolveOptions({ http: true, inMemory: false }).removeFailedAfterMs, 600_000);
});

test('an option out of its range is an error that names it, what it got and what it takes', () => {
  const wrong: [Partial<ServerOptions>, RegExp][] = [
    [{ addr: 'nowhere' }, /--addr is "nowhere"; it takes host:port/],
    [{ addr: '127.0.0.1:65536' }, /--addr/],
    [{ join: ['127.0.0.1:9000', 'x:y'] }, /--join is "x:y"/],
    [{ rpcPort: 65_536 }, /--rpc-port is 65536; it takes an integer from 0 to 65535/],
    [{ rpcPort: -1 }, /--rpc-port/],
    [{ rpcPort: 1.5 }, /--rpc-port/],
    [{ id: '' }, /--id is ""/],
    [{ id: 'a b' }, /--id/],
    [{ id: 'a\nb' }, /--id/],
    [{ id: 'a/b' }, /--id/],
    [{ id: 'ä'.repeat(65) }, /1 to 128 bytes/],
    [{ maxValueBytes: 0 }, /--max-value-bytes is 0/],
    [{ maxValueBytes: 33 * 1_048_576 }, /--max-value-bytes/],
    [{ maxBytes: 1_000 }, /--max-bytes/],
    [{ maxBytes: Number.NaN }, /--max-bytes/],
    [{ eviction: 'lru' as 'sieve' }, /--eviction is lru; it takes sieve, s3fifo, fifo, none/],
    [{ readConsistency: 'strong' as 'local' }, /--read-consistency is strong; it takes local, lease, linearizable/],
    [{ requestTimeoutMs: 0 }, /--request-timeout/],
    [{ trailingEntries: -1 }, /--trailing-entries/],
    [{ removeFailedAfterMs: -1 }, /--remove-failed-after/],
  ];
  for (const [options, message] of wrong)
    assert.throws(() => resolveOptions({ http: true, ...options }), { name: 'TypeError', message });
});

test('sizes are read with and without a unit, in 1,024s, and nothing else is taken', () => {
  assert.equal(parseBytes('1048576', 'x'), 1_048_576);
  assert.equal(parseBytes('64kb', 'x'), 65_536);
  assert.equal(parseBytes('1.5MiB', 'x'), 1_572_864);
  assert.equal(parseBytes('2 g', 'x'), 2_147_483_648);
  assert.equal(parseBytes('0', 'x'), 0);
  for (const text of ['', '-1', '1e9', 'mb', '1pb', '1kbps', '0x10', ' 1', '1 1', '9999999999999t'])
    assert.throws(() => parseBytes(text, 'max-bytes'), { name: 'TypeError', message: /--max-bytes is "/ });
});

test('durations are read as in a request, and what is wrong names the flag', () => {
  assert.equal(parseDurationOption('30s', 'x'), 30_000);
  assert.equal(parseDurationOption('250', 'x'), 250);
  assert.throws(() => parseDurationOption('soon', 'request-timeout'), {
    name: 'TypeError',
    message: /--request-timeout/,
  });
});

test('an address is a host and a port, IPv6 in brackets', () => {
  assert.deepEqual(parseAddress('cache-1.local:9000'), { host: 'cache-1.local', port: 9000 });
  assert.deepEqual(parseAddress('[::1]:0'), { host: '::1', port: 0 });
  for (const text of ['', ':9000', 'host', 'host:', '::1:9000', 'a b:1', 'host:70000', 'http://host:1', 'host:1x'])
    assert.equal(parseAddress(text), undefined, text);
});

test('options that would take the same port from each other are refused by their names', () => {
  const options = { http: true, addr: '127.0.0.1:9000', rpcPort: 9200 };
  for (const [more, message] of [
    [{ addr: '127.0.0.1:9200' }, /^--addr and --rpc-port are both 9200; give each a port of its own$/],
    [{ rpcPort: 9000 }, /^--addr and --rpc-port are both 9000;/],
    [{ serfRpc: '127.0.0.1:9200' }, /^--rpc-port and --serf-rpc are both 9200;/],
    [{ serfRpc: '0.0.0.0:9000' }, /^--addr and --serf-rpc are both 9000;/],
  ] as const)
    assert.throws(() => resolveOptions({ ...options, ...more }), { name: 'TypeError', message });
  // Each takes a free one; and another host has ports of its own.
  assert.equal(resolveOptions({ ...options, addr: '127.0.0.1:0', rpcPort: 0 }).rpcPort, 0);
  assert.equal(resolveOptions({ ...options, serfRpc: '127.0.0.2:9200' }).serfRpc?.port, 9200);
});
