import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server as NetServer, type Socket } from 'node:net';
import { afterEach, test } from 'node:test';
import { until } from '@dcache/testing';
import { ServerCredentials } from '@grpc/grpc-js';
import { Caller } from './caller.js';
import { Client } from './client.js';
import { type ClientOptions, resolveOptions } from './options.js';
import { certificate, key } from './testing/certificate.js';
import { FakeServer } from './testing/fake-server.js';

/** A file without bytes. */
async function* nothing(): AsyncGenerator<Uint8Array> {}

const started: { stop(): Promise<void> }[] = [];

afterEach(async () => {
  // Clients first: with their servers gone they would wait for them.
  for (const one of started.splice(0).reverse()) await one.stop();
});

/** Servers of one cluster, of which the first leads. */
async function servers(count: number): Promise<FakeServer[]> {
  const fakes: FakeServer[] = [];
  for (let i = 0; i < count; i++) fakes.push(await new FakeServer(`n${i}`).start());
  for (const fake of fakes) fake.servers = fakes.map((one, at) => one.info(at === 0));
  started.push(...fakes);
  return fakes;
}

async function connect(address: string | string[], options: Partial<ClientOptions> = {}): Promise<Client> {
  const client = new Client({ address, ...options });
  started.push({ stop: () => client.close() });
  if (options.discover !== false) await client.servers();
  return client;
}

/** A server that takes connections and says nothing. */
async function mute(): Promise<{ address: string; server: NetServer }> {
  const server = createServer((socket) => socket.on('error', () => {}).resume());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  started.push({ stop: () => new Promise((resolve) => server.close(() => resolve())) });
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, server };
}

const stampOf = (fake: FakeServer, at = 0) => {
  const { session, sequence, lowestUnanswered } = fake.sets[at]!.session!;
  return [session, sequence, lowestUnanswered].map(Number);
};

test('writes go to the leader, reads to all in turn, and those of the lease to the leader', async () => {
  const [leader, second, third] = (await servers(3)) as [FakeServer, FakeServer, FakeServer];
  const client = await connect(third.address);
  for (let i = 0; i < 6; i++) await client.set('k', 'v');
  assert.equal(leader.sets.length, 6);
  for (let i = 0; i < 6; i++) await client.get('k');
  assert.deepEqual(
    [leader, second, third].map((one) => one.gets),
    [2, 2, 2],
  );
  for (let i = 0; i < 6; i++) await client.get('k', { level: 'lease' });
  assert.equal(leader.gets, 8);
});

test('a write whose answer is lost is sent to another server under the same stamp', async () => {
  const [leader, second] = (await servers(2)) as [FakeServer, FakeServer];
  const client = await connect(leader.address);
  leader.onSet.push('break');
  await client.set('k', 'v');
  assert.equal(leader.sets.length, 1);
  assert.equal(second.sets.length, 1);
  assert.deepEqual(stampOf(second), stampOf(leader));
});

test('a server that says nothing is given up after its time, and others are asked first from then on', async () => {
  const [leader, second] = (await servers(2)) as [FakeServer, FakeServer];
  const client = await connect(leader.address, { attemptTimeoutMs: 100 });
  await client.set('k', 'v');
  leader.onSet.push('silence');
  await client.set('k', 'v');
  assert.deepEqual(stampOf(second), stampOf(leader, 1));
  await client.set('k', 'v');
  assert.equal(second.sets.length, 2);
});

test('what a server certainly did not do is asked of the next, refusals are not', async () => {
  const [leader, second] = (await servers(2)) as [FakeServer, FakeServer];
  const client = await connect(leader.address);
  for (const code of ['no-leader', 'stopping'] as const) {
    const before = second.sets.length;
    leader.onSet.push(code);
    await client.set('k', 'v');
    assert.equal(second.sets.length, before + 1, code);
    await client.servers();
  }
  for (const code of ['bad-argument', 'busy', 'full', 'unauthenticated', 'forbidden', 'internal'] as const) {
    const [one] = (await servers(1)) as [FakeServer];
    const other = await connect(one.address);
    one.onSet.push(code);
    await assert.rejects(other.set('k', 'v'), { code });
    assert.equal(one.sets.length, 1, code);
  }
});

test('a session that is gone is opened anew, where the write was sent once', async () => {
  const [leader] = (await servers(1)) as [FakeServer];
  const client = await connect(leader.address);
  leader.onSet.push('session-expired');
  await client.set('k', 'v');
  assert.deepEqual(
    [stampOf(leader), stampOf(leader, 1)],
    [
      [1_000, 1, 1],
      [2_000, 1, 1],
    ],
  );
});

test('a session that is gone leaves the outcome unknown, where the write was sent before', async () => {
  const [leader] = (await servers(1)) as [FakeServer];
  const client = await connect(leader.address);
  leader.onSet.push('unknown-outcome', 'session-expired');
  await assert.rejects(client.set('k', 'v'), { code: 'unknown-outcome' });
  assert.equal(leader.sets.length, 2, 'and it is not sent again under another');
});

test('a refusal after a lost answer is the outcome only where applying gives it', async () => {
  const [leader] = (await servers(1)) as [FakeServer];
  const client = await connect(leader.address);
  leader.onSet.push('break', 'precondition-failed');
  await assert.rejects(client.set('k', 'v'), { code: 'precondition-failed' });
  leader.onSet.push('break', 'unauthenticated');
  await assert.rejects(client.set('k', 'v'), { code: 'unknown-outcome' });
  leader.onSet.push('break', 'busy');
  await client.set('k', 'v');
  assert.deepEqual(stampOf(leader, 4), stampOf(leader, 6), 'busy after that is asked again');
});

test('a write that nobody answers in time is unknown, a read is late, and neither takes longer', async () => {
  const [leader] = (await servers(1)) as [FakeServer];
  const client = await connect(leader.address, { timeoutMs: 1_000 });
  await client.set('k', 'v');
  leader.onSet.push('silence');
  await assert.rejects(client.set('k', 'v'), { code: 'unknown-outcome', message: /may or may not/ });
  leader.onGet.push('silence');
  await assert.rejects(client.get('k'), { code: 'timeout' });
});

test('a client that no server has ever answered says so soon, with the addresses; later it waits its time', async () => {
  const gone = new FakeServer('gone');
  await gone.start();
  const { address } = gone;
  await gone.stop();
  const client = await connect([address, 'no.such.host.invalid:9200'], { discover: false, timeoutMs: 60_000 });
  const message = new RegExp(`^no server answers at ${address}, no\\.such\\.host\\.invalid:9200 \\(.+\\)$`);
  const calls = [client.get('k'), client.set('k', 'v'), client.servers()];
  await Promise.all(calls.map((call) => assert.rejects(call, { code: 'unavailable', message })));

  const [server] = (await servers(1)) as [FakeServer];
  const known = await connect(server.address, { timeoutMs: 1_600 });
  await known.get('k');
  await server.stop();
  await assert.rejects(
    known.get('k'),
    (error: Error) => !message.test(error.message) && !/no server/.test(error.message),
  );
});

test('one address that answers is enough beside one that says nothing, whichever is asked first', async (context) => {
  const { address: silent } = await mute();
  const calls: ((client: Client) => Promise<unknown>)[] = [
    (client) => client.get('k'),
    (client) => client.servers(),
    (client) => client.admin.transferLeadership(),
    (client) => client.admin.restoreSnapshot(nothing()).catch((error) => assert.equal(error.code, 'unsupported')),
    (client) => client.set('k', 'v'),
  ];
  const clients: Client[] = [];
  const cases: Promise<void>[] = [];
  for (const first of [0, 1])
    for (const options of [{}, { discover: false }, { discover: false, timeoutMs: 4_000 }])
      for (const call of calls) {
        const [good] = (await servers(1)) as [FakeServer];
        // Where the round over the addresses begins is drawn.
        const draw = context.mock.method(Math, 'random', () => first / 1_000_000 + 1e-9);
        const client = new Client({ address: [silent, good.address], ...options });
        draw.mock.restore();
        clients.push(client);
        cases.push(
          call(client).then(() => {
            assert.ok(good.gets + good.transfers + good.sets.length <= 1, 'nothing is done twice');
          }),
        );
      }
  try {
    await Promise.all(cases);
  } finally {
    await Promise.all(clients.map((client) => client.close()));
  }
});

test('where no leader is, a call that needs one says so, and a local read that is late does not', async () => {
  const fakes = (await servers(2)) as [FakeServer, FakeServer];
  for (const fake of fakes) fake.servers = fakes.map((one) => one.info(false));
  const [first, second] = fakes;
  const client = await connect(first.address, { timeoutMs: 400 });
  const leaderless = { code: 'unavailable', reason: 'no-leader', message: /no leader.*n0, n1.*[Nn]othing was done/ };
  for (const fake of fakes) {
    fake.onGet.push('no-leader', 'silence', 'silence');
    fake.onOpen.push('silence', 'silence');
  }
  await assert.rejects(client.get('k'), leaderless);
  await assert.rejects(client.set('k', 'v'), leaderless);
  for (const fake of fakes) fake.onGet.splice(0, 9, 'silence');
  await assert.rejects(client.get('k', { level: 'local' }), { code: 'timeout', reason: undefined });
  assert.equal(first.sets.length + second.sets.length, 0);
});

test('who leads is asked within the time of the call, and until its signal', async () => {
  for (const reason of ['time', 'signal', 'close'] as const) {
    const [one] = (await servers(1)) as [FakeServer];
    const client = await connect(one.address);
    const aborting = new AbortController();
    one.onServers.push('silence');
    one.onTransfer.push('not-leader');
    one.onGet.push('not-leader');
    const { signal } = aborting;
    const options = { signal, timeoutMs: reason === 'time' ? 300 : 60_000 };
    const calls = [client.get('k', options), client.admin.transferLeadership('n', options)];
    const code = { time: 'not-leader', signal: 'aborted', close: 'closed' }[reason];
    const ends = calls.map((call) => assert.rejects(call, { code }));
    await until('the servers are asked for', () => one.pendingServers > 0);
    if (reason === 'signal') aborting.abort();
    if (reason === 'close') await client.close();
    await Promise.all(ends);
    if (reason === 'close') continue;
    // A question that had been given up would have been so before this call, on the same connection.
    await client.get('k');
    assert.equal(one.pendingServers, 1, 'its answer was not waited for');
  }
});

test('what may be done only once is not begun anew where there is no time for it, so that it is not in doubt', async () => {
  const [one] = (await servers(1)) as [FakeServer];
  const client = await connect(one.address, { timeoutMs: 450 });
  one.onTransfer.push('no-leader', 'silence');
  await assert.rejects(client.admin.transferLeadership(), { code: 'unavailable', reason: 'no-leader' });
  assert.equal(one.transfers, 1);
});

test('a snapshot is asked of a server that answers, and one that says nothing ends it in time', async () => {
  const gone = await new FakeServer('gone').start();
  const { address } = gone;
  await gone.stop();
  const client = await connect([address, address], { discover: false, timeoutMs: 60_000 });
  const refused = { code: 'unavailable', reason: 'refused', message: /no server answers/ };
  await assert.rejects(client.admin.saveSnapshot().next(), refused);
  await assert.rejects(client.admin.restoreSnapshot(nothing()), refused);

  const { address: silent } = await mute();
  const waiting = await connect(silent, { discover: false, timeoutMs: 200 });
  await assert.rejects(waiting.admin.saveSnapshot().next(), { code: 'unavailable', reason: 'no-answer' });
  const patient = await connect(silent, { discover: false, timeoutMs: 60_000 });
  const aborting = new AbortController();
  const { signal } = aborting;
  const calls = [
    patient.get('k', { signal }),
    patient.set('k', 'v', { signal }),
    patient.servers({ signal }),
    patient.admin.status(undefined, { signal }),
    patient.admin.status(silent, { signal }),
    patient.admin.leave('n', { signal }),
    patient.admin.saveSnapshot({ signal }).next(),
    patient.admin.restoreSnapshot(nothing(), { signal }),
  ];
  setImmediate(() => aborting.abort());
  await Promise.all(calls.map((call) => assert.rejects(call, { code: 'aborted' })));
});

test('close ends a connection on which the server never said a word', async () => {
  const { address, server } = await mute();
  const opened = once(server, 'connection');
  const client = await connect(address, { discover: false, timeoutMs: 60_000 });
  const read = assert.rejects(client.get('k'), { code: 'closed' });
  const [socket] = (await opened) as [Socket];
  await Promise.all([client.close(), read, once(socket, 'close')]);
});

test('an aborted write is unknown once it was sent, and aborted before', async () => {
  const [leader] = (await servers(1)) as [FakeServer];
  const client = await connect(leader.address);
  await client.set('k', 'v');
  const aborting = new AbortController();
  leader.onSet.push('silence');
  const write = client.set('k', 'v', { signal: aborting.signal });
  await until('the write is there', () => leader.sets.length === 2);
  aborting.abort();
  await assert.rejects(write, { code: 'unknown-outcome' });
  await assert.rejects(client.set('k', 'v', { signal: aborting.signal }), { code: 'aborted' });
  assert.equal(leader.sets.length, 2);
});

test('numbers go up by one, and what is answered may be forgotten', async () => {
  const [leader] = (await servers(1)) as [FakeServer];
  const client = await connect(leader.address);
  await Promise.all(Array.from({ length: 20 }, () => client.set('k', 'v')));
  await client.set('k', 'v');
  assert.equal(leader.sessions, 1, 'all writes share one session');
  const numbers = leader.sets.map((_, at) => stampOf(leader, at)[1]!);
  assert.deepEqual(
    numbers.toSorted((a, b) => a - b),
    Array.from({ length: 21 }, (_, at) => at + 1),
  );
  assert.deepEqual(stampOf(leader, 20), [1_000, 21, 21]);
});

test('more writes than may wait are busy at once', async () => {
  const [leader] = (await servers(1)) as [FakeServer];
  const client = await connect(leader.address, { maxPendingWrites: 2 });
  await client.set('k', 'v');
  leader.onSet.push('silence', 'silence');
  const impatient = (): Promise<unknown> => client.set('k', 'v', { timeoutMs: 300 }).catch((error) => error.code);
  const waiting = [impatient(), impatient()];
  await assert.rejects(client.set('k', 'v'), { code: 'busy' });
  assert.deepEqual(await Promise.all(waiting), ['unknown-outcome', 'unknown-outcome']);
  await client.set('k', 'v');
});

test('a session that cannot be opened in time ends the write that waits for it, and only that', async () => {
  const [leader] = (await servers(1)) as [FakeServer];
  const client = await connect(leader.address, { attemptTimeoutMs: 400 });
  leader.onOpen.push('silence');
  const patient = client.set('k', 'v');
  await assert.rejects(client.set('k', 'v', { timeoutMs: 100 }), {
    code: 'unavailable',
    message: /nothing was written/,
  });
  assert.equal(typeof (await patient), 'number');
  assert.equal(leader.sets.length, 1);
});

test('a write that waits for a session as long as its opening takes hears why there is none', async () => {
  const caller = new Caller(resolveOptions({ address: '127.0.0.1:1' }));
  started.push({ stop: async () => caller.close() });
  let fail: (error: Error) => void = () => {};
  const opening = new Promise<void>((_, reject) => {
    fail = reject;
  });
  const limit = caller.limit({ timeoutMs: 10 }, true);
  const heard = assert.rejects(caller.inTime(opening, limit, limit.deadlineMs), /^Error: why$/);
  // The opening ends after the write's time, as it does where both have the same: by what it takes to look for the reason.
  await until('the time of the write is over', () => performance.now() > limit.deadlineMs + 20);
  fail(new Error('why'));
  await heard;
  const never = new Promise<void>(() => {});
  const hurried = caller.limit({ timeoutMs: 10 }, true);
  const late = { code: 'unavailable', message: /nothing was written/ };
  await assert.rejects(caller.inTime(never, hurried, hurried.deadlineMs + 10_000), late);
});

test('the leader that comes after is learnt, and a server that is gone has no connection left', async () => {
  const [old, next] = (await servers(2)) as [FakeServer, FakeServer];
  const client = await connect([next.address]);
  await client.set('k', 'v');
  assert.equal(old.sets.length, 1);
  for (const one of [old, next]) one.servers = [next.info(true)];
  await client.servers();
  await client.set('k', 'v');
  assert.equal(next.sets.length, 1);
  await until('the old one is let go', () => old.connections === 0);
});

test('without discovery only the addresses given are used', async () => {
  const [leader, second] = (await servers(2)) as [FakeServer, FakeServer];
  const client = await connect(second.address, { discover: false });
  await client.set('k', 'v');
  await client.get('k');
  assert.equal(leader.sets.length + leader.gets + leader.connections, 0);
});

test('close ends every connection and every call', async () => {
  const [leader] = (await servers(1)) as [FakeServer];
  const client = await connect(leader.address);
  leader.onGet.push('silence');
  const read = client.get('k');
  await until('the read is there', () => leader.gets > 0);
  const closing = client.close();
  await assert.rejects(read, { code: 'closed' });
  await closing;
  await until('every connection is closed', () => leader.connections === 0);
  await assert.rejects(client.set('k', 'v'), { code: 'closed' });
});

test('a token travels with each call, and TLS is spoken where it is asked for', async () => {
  const pair = { private_key: Buffer.from(key), cert_chain: Buffer.from(certificate) };
  const fake = await new FakeServer('n', ServerCredentials.createSsl(null, [pair])).start();
  started.push(fake);
  const tls = { ca: certificate, serverName: 'dcache.test' };
  const client = await connect(fake.address, { tls, token: 'secret', discover: false });
  await client.get('k');
  assert.deepEqual(fake.tokens, ['Bearer secret']);
  const stranger = await connect(fake.address, { tls: true, discover: false, timeoutMs: 500 });
  await assert.rejects(stranger.get('k'), { code: 'unavailable' });
});

test('a wrong option is named, with what it takes', () => {
  const refused = (options: Partial<ClientOptions>, message: RegExp): void => {
    assert.throws(() => new Client({ address: 'h:1', ...options }), { name: 'TypeError', message });
  };
  refused({ address: [] }, /address is empty; it takes host:port/);
  refused({ address: 'h' }, /address is "h"; it takes host:port/);
  refused({ address: ['h:1', 'h:70000'] }, /"h:70000"/);
  refused({ timeoutMs: 0 }, /timeoutMs is 0; it takes an integer from 1/);
  refused({ maxPendingWrites: 5_000 }, /from 1 to 4000/);
  refused({ token: 'a b' }, /token .*; it takes/);
  refused({ tls: { cert: 'x' } }, /both or neither/);
});
