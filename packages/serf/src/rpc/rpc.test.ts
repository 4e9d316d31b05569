import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { after, test } from 'node:test';
import { type AgentRpc, local, Serf, startAgentRpc } from '../index.js';
import { MsgpackReader, MsgpackWriter, TruncatedError } from '../wire/msgpack.js';

const closing: (() => Promise<void>)[] = [];
after(() => Promise.all(closing.map((close) => close())));

async function serve(authKey?: string): Promise<{ serf: Serf; rpc: AgentRpc }> {
  const serf = new Serf({ ...local(), name: 'one', bind: '127.0.0.1:0', tags: { role: 'db' } });
  await serf.start();
  const rpc = await startAgentRpc(serf, { bind: '127.0.0.1:0', ...(authKey === undefined ? {} : { authKey }) });
  closing.push(
    () => rpc.stop(),
    () => serf.stop(),
  );
  return { serf, rpc };
}

/** Any msgpack value as JavaScript; raws become texts. */
function value(reader: MsgpackReader, bytes: Uint8Array): unknown {
  const type = bytes[reader.offset];
  if (type === undefined) throw new TruncatedError('more is to come', reader.offset + 1);
  if ((type >= 0x80 && type <= 0x8f) || type === 0xde || type === 0xdf) {
    const map: Record<string, unknown> = {};
    for (let left = reader.map(); left > 0; left--) map[reader.text()] = value(reader, bytes);
    return map;
  }
  if ((type >= 0x90 && type <= 0x9f) || type === 0xdc || type === 0xdd)
    return Array.from({ length: reader.array() }, () => value(reader, bytes));
  if ((type >= 0xa0 && type <= 0xbf) || type === 0xda || type === 0xdb) return reader.text();
  if (type === 0xc0) return reader.nil() ? null : undefined;
  if (type === 0xc2 || type === 0xc3) return reader.bool();
  return type === 0xcb ? reader.float() : reader.int();
}

class Client {
  readonly socket: Socket;
  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;

  constructor(rpc: AgentRpc) {
    const [host, port] = rpc.address.split(':');
    this.socket = createConnection({ host: host!, port: Number(port) });
    closing.push(async () => void this.socket.destroy());
    this.socket.on('data', (chunk) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
    });
  }

  send(command: string, seq: number, body?: (out: MsgpackWriter) => void): void {
    const out = new MsgpackWriter().map(2).text('Command').text(command).text('Seq').int(seq);
    body?.(out);
    this.socket.write(out.copy());
  }

  async next(): Promise<Record<string, unknown>> {
    for (;;) {
      const reader = new MsgpackReader(this.#bytes, this.#at);
      try {
        const read = value(reader, this.#bytes) as Record<string, unknown>;
        this.#at = reader.offset;
        return read;
      } catch (error) {
        if (!(error instanceof TruncatedError)) throw error;
      }
      await once(this.socket, 'data');
    }
  }

  async handshake(): Promise<void> {
    this.send('handshake', 0, (out) => out.map(1).text('Version').int(1));
    assert.deepEqual(await this.next(), { Error: '', Seq: 0 });
  }
}

test('nothing is answered before the handshake, nor before the key where one is set', async () => {
  const { rpc } = await serve('secret');
  const client = new Client(rpc);
  client.send('members', 1);
  assert.deepEqual(await client.next(), { Error: 'Handshake required', Seq: 1 });
  await client.handshake();
  client.send('members', 2);
  assert.deepEqual(await client.next(), { Error: 'Authentication required', Seq: 2 });
  client.send('auth', 3, (out) => out.map(1).text('AuthKey').text('wrong'));
  assert.deepEqual(await client.next(), { Error: 'Invalid authentication token', Seq: 3 });
  client.send('auth', 4, (out) => out.map(1).text('AuthKey').text('secret'));
  assert.deepEqual(await client.next(), { Error: '', Seq: 4 });
  client.send('members', 5);
  assert.deepEqual(await client.next(), { Error: '', Seq: 5 });
});

test('members are listed and filtered with anchored expressions', async () => {
  const { rpc } = await serve();
  const client = new Client(rpc);
  await client.handshake();
  const ask = async (seq: number, tag: string): Promise<unknown[]> => {
    client.send('members-filtered', seq, (out) =>
      out.map(3).text('Tags').map(1).text('role').text(tag).text('Status').text('').text('Name').text(''),
    );
    assert.deepEqual(await client.next(), { Error: '', Seq: seq });
    return ((await client.next()) as { Members: unknown[] }).Members;
  };
  const [member] = (await ask(1, 'd.')) as Record<string, unknown>[];
  assert.equal(member!['Name'], 'one');
  assert.equal(member!['Status'], 'alive');
  assert.deepEqual(member!['Tags'], { role: 'db' });
  assert.equal((await ask(2, 'd')).length, 0);
});

test('a stream tells of events and queries, and a query can be answered through it', async () => {
  const { serf, rpc } = await serve();
  const client = new Client(rpc);
  await client.handshake();
  client.send('stream', 7, (out) => out.map(1).text('Type').text('user:deploy,query'));
  assert.deepEqual(await client.next(), { Error: '', Seq: 7 });
  serf.userEvent('other');
  serf.userEvent('deploy', 'v1');
  assert.deepEqual(await client.next(), { Error: '', Seq: 7 });
  const event = await client.next();
  assert.equal(event['Name'], 'deploy');
  assert.equal(event['Payload'], 'v1');
  const handle = serf.query('uptime', '', { timeoutMs: 10_000 });
  assert.deepEqual(await client.next(), { Error: '', Seq: 7 });
  const query = await client.next();
  assert.equal(query['Name'], 'uptime');
  client.send('respond', 8, (out) => out.map(2).text('ID').int(Number(query['ID'])).text('Payload').text('up'));
  assert.deepEqual(await client.next(), { Error: '', Seq: 8 });
  assert.equal((await handle.next()).value?.type, 'response');
  handle.close();
  client.send('stop', 9, (out) => out.map(1).text('Stop').int(7));
  assert.deepEqual(await client.next(), { Error: '', Seq: 9 });
  serf.userEvent('deploy', 'v2');
  client.send('stats', 10);
  assert.deepEqual(await client.next(), { Error: '', Seq: 10 }, 'no event comes in between');
  assert.equal(((await client.next())['serf'] as Record<string, string>)['event_time'], '4');
});

test('a query over the RPC ends with done', async () => {
  const { serf, rpc } = await serve();
  serf.on('query', (query) => query.respond(new TextEncoder().encode('yes')));
  const client = new Client(rpc);
  await client.handshake();
  client.send('query', 3, (out) =>
    out
      .map(4)
      .text('Name')
      .text('q')
      .text('Payload')
      .text('x')
      .text('RequestAck')
      .bool(true)
      .text('Timeout')
      .int(100e6),
  );
  assert.deepEqual(await client.next(), { Error: '', Seq: 3 });
  const records: unknown[] = [];
  for (;;) {
    await client.next();
    const record = await client.next();
    records.push(record['Type']);
    if (record['Type'] === 'done') break;
  }
  assert.deepEqual(records.sort(), ['ack', 'done', 'response']);
});

test('tags, wrong commands and wrong numbers', async () => {
  const { serf, rpc } = await serve();
  const client = new Client(rpc);
  await client.handshake();
  client.send('tags', 1, (out) =>
    out.map(2).text('Tags').map(1).text('zone').text('a').text('DeleteTags').array(1).text('role'),
  );
  assert.deepEqual(await client.next(), { Error: '', Seq: 1 });
  assert.deepEqual([...serf.localMember().tags], [['zone', 'a']]);
  client.send('respond', 2, (out) => out.map(1).text('ID').int(99));
  assert.deepEqual(await client.next(), { Error: 'Invalid query ID', Seq: 2 });
  client.send('dance', 3, (out) => out.map(0));
  assert.deepEqual(await client.next(), { Error: 'Unsupported command', Seq: 3 });
  client.send('list-keys', 4);
  assert.match(String((await client.next())['Error']), /1 of 1 members reported a failure/);
  assert.deepEqual((await client.next())['Messages'], { one: 'Keyring is empty (encryption not enabled)' });
});

test('bytes that are no request end the connection, not the node', async () => {
  const { serf, rpc } = await serve();
  for (const bytes of [Uint8Array.of(1, 2, 3), new Uint8Array(2 << 20).fill(0xa1)]) {
    const client = new Client(rpc);
    client.socket.on('error', () => {});
    client.socket.write(bytes);
    await new Promise((resolve) => client.socket.once('close', resolve));
  }
  assert.equal(serf.members().length, 1);
});
