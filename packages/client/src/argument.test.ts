import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { runInNewContext } from 'node:vm';
import { ArgumentError, show } from '@dcache/base';
import { Client } from './client.js';
import { FakeServer } from './testing/fake-server.js';

/** What a program without types may hand over. */
// biome-ignore lint/suspicious/noExplicitAny: these tests call what the types forbid
type Untyped = any;

const started: { stop(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of started.splice(0).reverse()) await one.stop();
});

async function connected(): Promise<{ fake: FakeServer; client: Untyped }> {
  const fake = await new FakeServer('n0').start();
  fake.servers = [fake.info(true)];
  const client = new Client({ address: fake.address });
  started.push(fake, { stop: () => client.close() });
  return { fake, client };
}

/** A wrong argument is told as such, by the words that `message` has; never by what a server says. */
async function refused(call: Promise<unknown>, message: RegExp): Promise<void> {
  await assert.rejects(call, (error: Error) => {
    assert.ok(error instanceof ArgumentError, String(error));
    assert.ok(error instanceof TypeError);
    assert.equal(error.code, 'bad-argument');
    assert.match(error.message, message);
    return true;
  });
}

test('a value that is missing or of another type is refused and nothing is sent', async () => {
  const { fake, client } = await connected();
  await refused(client.set('k'), /^value is undefined; it takes bytes .* or text$/);
  await refused(client.set('k', undefined), /^value is undefined;/);
  await refused(client.set('k', null), /^value is null;/);
  await refused(client.set('k', { a: 1 }), /^value is an object;/);
  await refused(client.set('k', 5), /^value is 5;/);
  await refused(client.set('k', [1, 2]), /^value is an array of 2;/);
  await refused(client.set('k', new ArrayBuffer(2)), /^value is an object;/);
  await refused(client.setMany([{ key: 'a', value: 'x' }, { key: 'b' }]), /^entries\[1\]\.value is undefined;/);
  assert.equal(fake.sets.length, 0);
  assert.equal(fake.sessions, 0);
  await client.set('k', '');
  await client.set('k', new Uint8Array());
  await client.set('k', runInNewContext('new Uint8Array([1])'));
  assert.deepEqual(
    fake.sets.map((set) => set.value.length),
    [0, 0, 1],
  );
});

test('a key of another type is refused by every call that takes one', async () => {
  const { fake, client } = await connected();
  for (const key of [undefined, null, 5, {}, true]) {
    await refused(client.set(key, 'x'), /^key is /);
    await refused(client.get(key), /^key is /);
    await refused(client.getEntry(key), /^key is /);
    await refused(client.delete(key), /^key is /);
    await refused(client.getMany(['a', key]), /^keys\[1\] is /);
    await refused(client.setMany([{ key, value: 'x' }]), /^entries\[0\]\.key is /);
  }
  // biome-ignore lint/suspicious/noSparseArray: a hole is what must not be passed over
  await refused(client.getMany([, 'a']), /^keys\[0\] is undefined/);
  await refused(client.getMany('abc'), /^keys is "abc"; it takes an array of keys$/);
  await refused(client.setMany({ a: 1 }), /^entries is an object; it takes an array/);
  await refused(client.setMany([5]), /entries\[0\] .*5; it takes an object/);
  assert.equal(fake.gets + fake.sets.length + fake.sessions, 0);
});

test('text with half of a surrogate pair is refused as a key and as a value, and nothing is sent', async () => {
  const { fake, client } = await connected();
  for (const half of ['\ud800', 'a\udfff', '\udc00\ud800']) {
    await refused(
      client.set(half, 'x'),
      /^key is ".*\\ud[8-f].*", with half of a surrogate pair; it takes text .*UTF-8/,
    );
    await refused(client.set('k', half), /^value is .*surrogate/);
    await refused(client.get(half), /^key is .*surrogate/);
    await refused(client.getEntry(half), /^key is .*surrogate/);
    await refused(client.delete(half), /^key is .*surrogate/);
    await refused(client.getMany(['k', half]), /^keys\[1\] is .*surrogate/);
    await refused(client.setMany([{ key: half, value: 'x' }]), /^entries\[0\]\.key is .*surrogate/);
    await refused(client.setMany([{ key: 'k', value: half }]), /^entries\[0\]\.value is .*surrogate/);
  }
  assert.equal(fake.gets + fake.sets.length + fake.sessions, 0);
  for (const text of ['\ud83d\ude00', '\ufffd', '\ufeff', '']) await client.set('k', text);
  assert.deepEqual(
    fake.sets.map(({ value }) => Buffer.from(value).toString('hex')),
    ['f09f9880', 'efbfbd', 'efbbbf', ''],
  );
});

test('an option that a call does not have is refused, with those that it has', async () => {
  const { fake, client } = await connected();
  await refused(client.set('k', 'x', { ttl: '5s' }), /^set has no option "ttl"; .*ifAbsent.*; is ttlMs meant, in mill/);
  await refused(client.get('k', { consistency: 'local' }), /^get has no option "consistency"; .*; is level meant\?/);
  await refused(client.set('k', 'x', { timeout: 5 }), /is timeoutMs meant/);
  await refused(client.getEntry('k', { nonsense: 1 }), /^getEntry has no option "nonsense"; it takes .*level$/);
  await refused(client.getMany(['k'], { ttlMs: 5 }), /^getMany has no option "ttlMs"/);
  await refused(client.setMany([{ key: 'k', value: 'x', ttl: 5 }]), /^entries\[0\] has no option "ttl"; .*ttlMs meant/);
  await refused(client.setMany([{ key: 'k', value: 'x' }], { ttlMs: 5 }), /^setMany has no option "ttlMs"/);
  await refused(client.delete('k', { ifAbsent: true }), /^delete has no option "ifAbsent"/);
  await refused(client.set('k', 'x', { toString: 1 }), /^set has no option "toString"/);
  await refused(client.servers({ level: 'local' }), /^servers has no option "level"/);
  for (const options of [null, 5, 'local', []]) await refused(client.get('k', options), /options of get .*an object/);
  assert.equal(fake.gets + fake.sets.length + fake.sessions, 0);
});

test('an option with a value that it does not take is refused', async () => {
  const { fake, client } = await connected();
  await refused(client.get('k', { level: 'LOCAL' }), /^level is "LOCAL"; it takes local, lease, linearizable$/);
  await refused(client.set('k', 'x', { ifAbsent: 'no' }), /^ifAbsent is "no"; it takes true or false$/);
  await refused(client.set('k', 'x', { ifPresent: 1 }), /^ifPresent is 1;/);
  await refused(client.delete('k', { ifRevision: '7' }), /^ifRevision is "7"; it takes an integer/);
  await refused(client.set('k', 'x', { ifRevision: null }), /^ifRevision is null;/);
  await refused(client.set('k', 'x', { ifAbsent: true, ifPresent: true }), /it takes one of/);
  await refused(client.set('k', 'x', { ttlMs: '5' }), /^ttlMs is "5"; it takes an integer/);
  await refused(client.set('k', 'x', { ttlMs: 1.5 }), /^ttlMs is 1\.5;/);
  await refused(client.setMany([{ key: 'k', value: 'x', ttlMs: 0 }]), /^entries\[0\]\.ttlMs is 0;/);
  for (const timeoutMs of [0, '5', -1, Number.NaN, 86_400_001, null])
    await refused(client.get('k', { timeoutMs }), /^timeoutMs is .*; it takes a number above 0/);
  await refused(client.get('k', { signal: {} }), /^signal is an object; it takes an AbortSignal/);
  assert.equal(fake.gets + fake.sets.length + fake.sessions, 0);
  await client.set('k', 'x', { ttlMs: undefined, ifAbsent: undefined, signal: new AbortController().signal });
  await client.get('k', { level: undefined, timeoutMs: 0.5 + 9_999 });
});

test('what an operator asks is held to the same', async () => {
  const { admin } = (await connected()).client;
  await refused(admin.status(5), /^address is 5; it takes host:port/);
  await refused(admin.status('h'), /^address is "h"; it takes host:port/);
  await refused(admin.transferLeadership({ to: 'n' }), /^to is an object;/);
  await refused(admin.leave(), /^name is undefined;/);
  await refused(admin.saveSnapshot({ consistency: 'local' }).next(), /^admin\.saveSnapshot .*is level meant/);
  await refused(admin.saveSnapshot({ level: 'near' }).next(), /^level is "near"/);
  await refused(admin.saveSnapshot({ onMoment: 5 }).next(), /^onMoment is 5/);
  await refused(admin.restoreSnapshot(new Uint8Array(3), { replace: true }), /^file is .*; it takes a stream/);
  await refused(admin.restoreSnapshot(noBytes(), { replace: 'yes' }), /^replace is "yes"; it takes true or false/);
});

test('a client cannot be made of what it does not take', () => {
  const made: [Untyped, RegExp][] = [
    [undefined, /^the options of new Client are undefined; it takes an object/],
    ['localhost:9200', /^the options of new Client are "localhost:9200"; it takes an object/],
    [{}, /^address is undefined; it takes host:port of a server, such as localhost:9200/],
    [{ address: 5 }, /^address is 5;/],
    [{ address: [5] }, /^address is 5; it takes host:port/],
    [{ adress: 'h:1' }, /^new Client has no option "adress"; it takes address, .*; is address meant\?/],
    [{ address: 'h:1', timeout: 5 }, /is timeoutMs meant/],
    [{ address: 'h:1', level: 'foo' }, /^level is "foo"; it takes local,/],
    [{ address: 'h:1', tls: 'yes' }, /^tls is "yes"; it takes true, false or \{/],
    [{ address: 'h:1', tls: { CA: 'x' } }, /^tls has no option "CA"; it takes ca, cert/],
    [{ address: 'h:1', tls: { ca: 5 } }, /^tls\.ca is 5;/],
    [{ address: 'h:1', tls: { serverName: 5 } }, /^tls\.serverName is 5;/],
    [{ address: 'h:1', token: 5 }, /^token is no text; it takes/],
    [{ address: 'h:1', discover: 'no' }, /^discover is "no"; it takes true or false/],
    [{ address: 'h:1', timeoutMs: '5' }, /^timeoutMs is "5"; it takes an integer/],
    [{ address: 'h:1', refreshMs: Number.NaN }, /^refreshMs is NaN;/],
  ];
  for (const [options, message] of made)
    assert.throws(
      () => new Client(options),
      (error: Error) => {
        assert.ok(error instanceof ArgumentError, `${error} of ${show(options)}`);
        assert.match(error.message, message);
        return true;
      },
    );
});

test('a value is shown short, and never fails to be shown', () => {
  assert.equal(show('x'.repeat(100)).length, 83);
  assert.equal(show(Symbol('s')), 'Symbol(s)');
  assert.equal(show(7n), '7');
  assert.equal(show(Object.create(null)), 'an object');
  assert.equal(
    show(() => 1),
    'a function',
  );
});

async function* noBytes(): AsyncGenerator<Uint8Array> {}
