import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { fromUtf8, SeededRandom, silentLogger, utf8 } from '@dcache/base';
import { Keyring, local, type Member, Serf, SerfError } from './index.js';
import { key, running, sees, start } from './node.test.helper.js';
import { encodeMessage } from './wire/codec.js';
import { encodePacket } from './wire/packet.js';

test('members that join see each other with address and tags, and a leave is a leave', async () => {
  const one = await start('one', { tags: { role: 'seed' } });
  const two = await start('two', { tags: new Map([['zone', 'b']]) });
  assert.equal(await two.join([one.address]), 1);
  await Promise.all([sees(one, 'two', 'alive'), sees(two, 'one', 'alive')]);
  assert.deepEqual([...two.member('one')!.tags], [['role', 'seed']]);
  assert.equal(`${two.member('one')!.address}:${two.member('one')!.port}`, one.address);
  assert.deepEqual(one.localMember().name, 'one');
  await Promise.all([two.leave(), sees(one, 'two', 'left')]);
  assert.throws(() => two.userEvent('late'), { code: 'left' });
  assert.equal(two.members().length, 2, 'what was known stays readable');
});

test('a member that only stops is failed, and alive again under its name when it is back', async () => {
  const one = await start('one');
  const two = await start('two');
  await two.join([one.address]);
  await sees(one, 'two', 'alive');
  const { port } = two.localMember();
  await two.stop();
  await sees(one, 'two', 'failed');
  const again = await start('two', { bind: `127.0.0.1:${port}` });
  await again.join([one.address]);
  await sees(one, 'two', 'alive');
});

test('an address that is taken is named in the error', async () => {
  const one = await start('one');
  const two = new Serf({ name: 'two', bind: one.address });
  await assert.rejects(two.start(), (error: SerfError) => {
    assert.equal(error.code, 'address-in-use');
    assert.ok(error.message.includes(one.address), error.message);
    return true;
  });
});

test('tags travel, and too many are refused', async () => {
  const one = await start('one');
  const two = await start('two');
  await two.join([one.address]);
  await sees(one, 'two', 'alive');
  const updated = once(one, 'member-update');
  await two.setTags({ version: '2' });
  const [member] = (await updated) as [Member];
  assert.equal(member.tags.get('version'), '2');
  await assert.rejects(two.setTags({ big: 'x'.repeat(600) }), { code: 'too-large' });
  assert.equal(two.tags.get('version'), '2');
  assert.throws(() => new Serf({ name: 'x', tags: { big: 'x'.repeat(600) } }), { code: 'too-large' });
});

test('an event reaches every member once, one that is too large is refused', async () => {
  const one = await start('one');
  const two = await start('two');
  await two.join([one.address]);
  await sees(one, 'two', 'alive');
  const heard = [once(one, 'user'), once(two, 'user')];
  two.userEvent('deploy', 'v1', { coalesce: false });
  for (const [event] of await Promise.all(heard)) {
    assert.equal(event.name, 'deploy');
    assert.equal(fromUtf8(event.payload), 'v1');
    assert.equal(event.coalesce, false);
  }
  assert.throws(() => one.userEvent('deploy', 'x'.repeat(600)), { code: 'too-large' });
});

test('a query gathers acks and answers, of the members its filters take', async () => {
  const one = await start('one', { tags: { role: 'db' } });
  const two = await start('two', { tags: { role: 'web' } });
  const three = await start('three', { tags: { role: 'web' } });
  for (const serf of [one, two, three])
    serf.on('query', (query) => query.respond(new TextEncoder().encode(query.from)));
  await two.join([one.address]);
  await three.join([one.address]);
  await Promise.all([sees(one, 'three', 'alive'), sees(two, 'three', 'alive')]);
  const answers: string[] = [];
  const handle = one.query('who', 'payload', { filters: { tags: { role: 'w.b' } }, ack: true, timeoutMs: 10_000 });
  for await (const item of handle) {
    answers.push(`${item.from} ${item.type}`);
    if (item.type === 'response') assert.equal(fromUtf8(item.payload), 'one');
    if (answers.length === 4) break;
  }
  assert.deepEqual(answers.sort(), ['three ack', 'three response', 'two ack', 'two response']);
  const quick: unknown[] = [];
  for await (const item of one.query('who', '', { filters: { nodes: ['nobody'] }, timeoutMs: 50 })) quick.push(item);
  assert.deepEqual(quick, [], 'it ends at its timeout');
  assert.throws(() => one.query('big', 'x'.repeat(2000)), { code: 'too-large' });
});

test('an answer that is too large or too late is refused', async () => {
  const one = await start('one');
  const asked = once(one, 'query');
  const handle = one.query('who', '', { timeoutMs: 5000 });
  const [query] = await asked;
  assert.throws(() => query.respond(new Uint8Array(2000)), { code: 'too-large' });
  query.respond(new Uint8Array(3));
  assert.throws(() => query.respond(new Uint8Array(3)), { code: 'timeout' });
  const { value } = await handle.next();
  assert.equal(value?.type, 'response');
  handle.close();
});

test('members with another label do not hear each other', async () => {
  const one = await start('one', { label: 'blue' });
  const two = await start('two', { label: 'blue' });
  const three = await start('three', { label: 'green' });
  await two.join([one.address]);
  await assert.rejects(three.join([one.address]), { code: 'join-failed' });
  assert.equal(one.members().length, 2);
});

test('a packet with a label, a key and a checksum keeps to the packet size', async () => {
  const largest = { bytes: 0 };
  const sink = createSocket('udp4').bind(0, '127.0.0.1');
  await once(sink, 'listening');
  sink.on('message', (bytes) => {
    largest.bytes = Math.max(largest.bytes, bytes.length);
  });
  const label = 'l'.repeat(200);
  const keyring = new Keyring([Buffer.from(key, 'base64')]);
  const one = await start('one', { label, keyring, compress: false });
  // A member that never answers gets the gossip: the sink, announced by a packet of ours.
  const alive = encodeMessage({
    type: 'alive',
    node: 'sink',
    incarnation: 1,
    addr: Uint8Array.of(127, 0, 0, 1),
    port: sink.address().port,
    meta: Uint8Array.of(0xff, 0x80),
    vsn: Uint8Array.of(1, 5, 2, 2, 5, 5),
  });
  const packet = encodePacket([alive], { keyring, label: utf8(label), checksum: true, compress: false });
  const joined = once(one, 'member-join');
  sink.send(packet, one.localMember().port, '127.0.0.1');
  await joined;
  for (let i = 0; i < 30; i++) one.userEvent(`event${i}`, 'x'.repeat(97));
  const signal = AbortSignal.timeout(10_000);
  while (largest.bytes < 1250) await once(sink, 'message', { signal });
  sink.close();
  assert.ok(largest.bytes <= 1400, `the largest has ${largest.bytes} bytes`);
});

test('garbage over packets and streams is dropped and counted, and the node goes on', async () => {
  const one = await start('one');
  const two = await start('two');
  await two.join([one.address]);
  const { port } = one.localMember();
  const random = new SeededRandom(35);
  const noise = (bytes: number): Uint8Array => Uint8Array.from({ length: bytes }, () => random.below(256));
  const socket = createSocket('udp4');
  for (let type = 0; type < 16; type++)
    for (let i = 0; i < 10; i++) socket.send(Uint8Array.of(type, ...noise(40)), port, '127.0.0.1');
  for (const bytes of [noise(300), Uint8Array.of(6, 0xdf, 255, 255, 255, 255), Uint8Array.of(10, 255, 255, 255, 255)]) {
    const stream = createConnection({ host: '127.0.0.1', port });
    stream.on('error', () => {});
    stream.resume().end(bytes);
    await new Promise((resolve) => stream.once('close', resolve));
  }
  const heard = once(one, 'user');
  two.userEvent('after the noise');
  await heard;
  socket.close();
  const { packetFaults, streamFaults } = one.stats();
  assert.ok(packetFaults > 100, `${packetFaults} packets`);
  assert.ok(streamFaults >= 2, `${streamFaults} streams`);
  assert.deepEqual(
    one
      .members()
      .map(({ name }) => name)
      .sort(),
    ['one', 'two'],
  );
});

test('a snapshot lets a member find its pool again, unless it left', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'serf-'));
  const snapshotPath = join(folder, 'snapshot');
  const one = await start('one');
  const two = await start('two', { snapshotPath });
  await two.join([one.address]);
  await sees(two, 'one', 'alive');
  two.userEvent('seen before');
  const { port } = two.localMember();
  await two.stop();
  const text = await readFile(snapshotPath, 'utf8');
  assert.match(text, new RegExp(`^alive: one ${one.address}$`, 'm'));
  assert.match(text, /^event-clock: 1$/m);
  const warned: string[] = [];
  const logger = { ...silentLogger, warn: (_: object, message: string) => void warned.push(message) };
  const again = new Serf({ ...local(), name: 'two', bind: `127.0.0.1:${port}`, snapshotPath, logger });
  running.push(again);
  const repeated: string[] = [];
  again.on('user', (event) => repeated.push(event.name));
  await again.start();
  await sees(again, 'one', 'alive');
  await sees(one, 'two', 'alive');
  assert.deepEqual(repeated, []);
  assert.deepEqual(warned, [], 'itself, which the snapshot may have too, it does not miss');
  await again.leave();
  assert.match(await readFile(snapshotPath, 'utf8'), /^leave$/m);
  const third = await start('two', { bind: `127.0.0.1:${port}`, snapshotPath });
  assert.equal(third.members().length, 1);
  await third.stop();
  await rm(folder, { recursive: true });
});

test('a snapshot that cannot be used is an error at the start', async () => {
  const serf = new Serf({ name: 'one', bind: '127.0.0.1:0', snapshotPath: '/nowhere/snapshot' });
  await assert.rejects(serf.start(), { code: 'io' });
  const folder = await mkdtemp(join(tmpdir(), 'serf-'));
  const keyringFile = join(folder, 'keyring.json');
  await writeFile(keyringFile, '{"keys": 1}');
  await assert.rejects(new Serf({ name: 'one', bind: '127.0.0.1:0', keyringFile }).start(), { code: 'keyring' });
  await rm(folder, { recursive: true });
});

test('an option that cannot be is named, with what it takes', () => {
  assert.throws(() => new Serf({ name: '' }), /name takes a string of 1 to 128 characters, got ""/);
  assert.throws(() => new Serf({ name: 'a', bind: 'nonsense:x' }), /bind takes host:port/);
  assert.throws(() => new Serf({ name: 'a', probeIntervalMs: 0 }), /probeIntervalMs takes a number from 1, got 0/);
  assert.throws(() => new Serf({ name: 'a', userEventSizeBytes: 10_000 }), /takes at most 9216/);
  assert.throws(() => new Serf({ name: 'a', label: 'x'.repeat(300) }), /label takes at most 255 bytes/);
  assert.throws(() => new Serf({ name: 'a', keyring: ['AAAA'] }), { code: 'keyring' });
  assert.throws(() => new Serf({ name: 'a', keyring: ['not base64!'] }), { code: 'keyring' });
});

test('before its start and after its stop a node says so', async () => {
  const serf = new Serf({ name: 'a', bind: '127.0.0.1:0' });
  assert.throws(() => serf.members(), { code: 'not-running' });
  await serf.start();
  await assert.rejects(serf.start(), { code: 'not-running' });
  await serf.stop();
  await serf.stop();
  assert.throws(() => serf.query('x'), SerfError);
});

test('a listener that throws does not stop the node, and its error is not swallowed', async () => {
  const script = `
    import { local, Serf } from ${JSON.stringify(new URL('./index.js', import.meta.url).href)};
    process.on('uncaughtException', (error) => console.log('uncaught', error.message));
    const [one, two] = ['one', 'two'].map((name) => new Serf({ ...local(), name, bind: '127.0.0.1:0' }));
    await one.start();
    await two.start();
    one.once('member-join', () => {
      throw new Error('from a listener');
    });
    await two.join([one.address]);
    one.on('user', ({ name }) => {
      console.log(name, one.member('two').status);
      process.exit(0);
    });
    two.userEvent('later');
  `;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
  assert.deepEqual(stdout.trim().split('\n'), ['uncaught from a listener', 'later alive']);
});

test('a member called __proto__ is one like any other', async () => {
  const one = await start('__proto__', { tags: { __proto__x: '1' } });
  const two = await start('constructor');
  await two.join([one.address]);
  await sees(one, 'constructor', 'alive');
  assert.equal(two.member('__proto__')?.status, 'alive');
});
