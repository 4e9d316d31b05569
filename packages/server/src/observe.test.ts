import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { afterEach, test } from 'node:test';
import { utf8 } from '@dcache/base';
import { until } from '@dcache/testing';
import { Server } from './server.js';
import type { ServerParts } from './server-parts.js';

const servers: Server[] = [];

afterEach(() => Promise.all(servers.splice(0).map((server) => server.stop())));

async function start(parts: ServerParts = {}): Promise<Server> {
  const options = { http: true, grpc: true, bootstrap: true, id: 'n1', addr: '127.0.0.1:0', rpcPort: 0 };
  const server = new Server(options, parts);
  servers.push(server);
  await server.start();
  await until('ready', () => server.isReady);
  return server;
}

const at = (server: Server, path: string): string => `http://${server.rpcAddr}${path}`;

test('the metrics of a node tell its requests, Raft, Serf, the store and the process', async () => {
  const server = await start();
  await fetch(at(server, '/a'), { method: 'PUT', body: '1' });
  await (await fetch(at(server, '/a'))).text();
  await (await fetch(at(server, '/nothing'))).text();
  await (await fetch(at(server, '/a'), { method: 'PATCH' })).text();
  const response = await fetch(at(server, '/-/metrics'));
  assert.match(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
  const text = await response.text();
  for (const line of [
    'dcache_request_duration_seconds_count{protocol="http",verb="get"} 2',
    'dcache_request_duration_seconds_count{protocol="http",verb="set"} 1',
    'dcache_request_errors_total{protocol="http",code="method-not-allowed"} 1',
    'dcache_read_hits_total 1',
    'dcache_read_misses_total 1',
    'dcache_ready 1',
    'raft_is_leader 1',
    'raft_voters 1',
    'serf_members{status="alive"} 1',
    'store_entries 1',
  ])
    assert.ok(text.includes(`\n${line}\n`), `${line} is not in\n${text}`);
  assert.match(text, /^raft_follower_lag_entries\{node="n1",raft_id="\d+"\} 0$/m, 'a number says nothing to people');
  assert.match(text, /\nraft_commit_latency_seconds_count [1-9]/);
  assert.match(text, /\nmux_connections_accepted_total\{protocol="http"\} [1-9]/);
  assert.match(text, /\nprocess_resident_memory_bytes \d/);
});

test('the overview tells members, counters and the slowest requests', async () => {
  const server = await start();
  await fetch(at(server, '/a'), { method: 'PUT', body: '1' });
  await (await fetch(at(server, '/a'))).text();
  const overview = (await (await fetch(at(server, '/-/overview'))).json()) as ReturnType<Server['overview']>;
  assert.equal(overview.status.leader, 'n1');
  assert.deepEqual(
    overview.members.map(({ id, isLeader, isSelf, gossip, lagEntries }) => [id, isLeader, isSelf, gossip, lagEntries]),
    [['n1', true, true, 'alive', 0]],
  );
  assert.equal(overview.hits, 1);
  assert.equal(overview.requests.find(({ verb }) => verb === 'set')?.count, 1);
  assert.deepEqual(new Set(overview.slowest.map(({ verb, key }) => `${verb} ${key}`)), new Set(['set a', 'get a']));
});

test('the page and all that it loads come from the node itself, under a policy that allows nothing else', async () => {
  const server = await start();
  for (const path of ['/-', '/-/']) {
    const response = await fetch(at(server, path));
    assert.equal(response.status, 200);
    assert.match(response.headers.get('content-security-policy') ?? '', /^default-src 'none'; script-src 'self'/);
    const html = await response.text();
    assert.ok(!/https?:\/\//.test(html), 'no address of elsewhere');
    assert.ok(!/\son\w+=|\sstyle=/.test(html), 'nothing that the policy refuses');
    for (const [, target] of html.matchAll(/(?:src|href)="([^"#]+)"/g)) {
      const loaded = await fetch(new URL(target!, at(server, '/-/')));
      assert.equal(loaded.status, 200, target);
      assert.ok((await loaded.text()).length > 0, target);
    }
  }
  assert.equal((await fetch(at(server, '/-/../page.js'))).status, 404);
  assert.equal((await fetch(at(server, '/-/'), { method: 'POST' })).status, 405);
  assert.equal((await fetch(at(server, '/-/'), { method: 'HEAD' })).status, 200);
});

test('with request lines each request has a number, in the log and in its answer', async () => {
  const lines: { fields: object; message: string }[] = [];
  const say = (fields: object, message: string): void => void lines.push({ fields, message });
  const server = await start({
    logger: { debug: say, info: () => {}, warn: () => {}, error: say },
    logsRequests: true,
  });
  const response = await fetch(at(server, '/b%0A'), { method: 'PUT', body: '1' });
  const id = Number(response.headers.get('dcache-request'));
  assert.ok(id > 0);
  const line = lines.find(({ fields }) => 'request' in fields && fields.request === id);
  assert.equal(line?.message, 'request');
  assert.deepEqual({ ...line.fields, ms: 0 }, { request: id, protocol: 'http', verb: 'set', key: 'b\\u{a}', ms: 0 });
  assert.ok(await server.read(utf8('b\n')));
});

test('each metric is documented, and each that is documented exists', async () => {
  const server = await start();
  const { text } = await server.metrics();
  const told = [...text.matchAll(/^# TYPE ((?:dcache|raft|serf|store|mux)_\S+)/gm)].map((match) => match[1]);
  const docs = await readFile(new URL('../../../docs/observability.md', import.meta.url), 'utf8');
  const documented = [...docs.matchAll(/^\| `(\w+)` \| (?:counter|gauge|histogram) /gm)].map((match) => match[1]);
  assert.deepEqual(documented, told);
});

test('a read that names the revision it has gets 304 and no value, until the key changes', async () => {
  const server = await start();
  const set = await fetch(at(server, '/a'), { method: 'PUT', body: 'one' });
  const etag = set.headers.get('etag') ?? '';
  const ask = (ifNoneMatch: string): Promise<Response> =>
    fetch(at(server, '/a'), { headers: { 'if-none-match': ifNoneMatch } });
  for (const same of [etag, `W/${etag}`, `"0", ${etag}`, '*']) {
    const response = await ask(same);
    assert.equal(response.status, 304, same);
    assert.equal(response.headers.get('etag'), etag);
    assert.equal(await response.text(), '');
  }
  assert.equal((await ask('"0"')).status, 200);
  await fetch(at(server, '/a'), { method: 'PUT', body: 'two' });
  const changed = await ask(etag);
  assert.equal(changed.status, 200);
  assert.equal(await changed.text(), 'two');
});

test('a value keeps its Content-Type, other protocols read the pure value, and a page of a client is no page of ours', async () => {
  const server = await start();
  const typed = await fetch(at(server, '/page'), {
    method: 'PUT',
    body: '<h1>hi</h1>',
    headers: { 'content-type': 'text/html;charset=UTF-8' },
  });
  assert.equal(typed.status, 200);
  const page = await fetch(at(server, '/page'));
  assert.equal(page.headers.get('content-type'), 'text/html;charset=UTF-8', 'to the letter');
  assert.equal(page.headers.get('content-security-policy'), 'sandbox');
  assert.equal(page.headers.get('x-content-type-options'), 'nosniff');
  assert.equal(await page.text(), '<h1>hi</h1>');
  const found = await server.read(utf8('page'));
  assert.equal(Buffer.from(found?.value ?? []).toString(), '<h1>hi</h1>');
  const form = { 'content-type': 'application/x-www-form-urlencoded' };
  await fetch(at(server, '/page'), { method: 'PUT', body: 'x', headers: form });
  const plain = await fetch(at(server, '/page'), { method: 'HEAD' });
  assert.equal(plain.headers.get('content-type'), form['content-type'], 'also what curl says of any body');
  await fetch(at(server, '/bare'), { method: 'PUT', body: new Uint8Array([120]) });
  const bare = await fetch(at(server, '/bare'));
  assert.equal(bare.headers.get('content-type'), 'application/octet-stream');
  assert.equal(bare.headers.get('content-security-policy'), null);
});
