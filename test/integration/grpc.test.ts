import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { utf8 } from '@dcache/base';
import {
  adminService,
  cacheServiceV1,
  type EntryView,
  fromGrpcStatus,
  fromV1GetResponse,
  type GrpcMethod,
  v1DeleteRequest,
  v1GetManyRequest,
  v1GetRequest,
  v1LeaveRequest,
  v1OpenSessionRequest,
  v1SetManyRequest,
  v1SetRequest,
  v1StatusRequest,
  v1TransferLeadershipRequest,
} from '@dcache/protocol';
import { eventually } from '@dcache/testing';
import { credentials, Client as GrpcClient, Metadata, type ServiceError } from '@grpc/grpc-js';
import { service as healthService } from 'grpc-health-check';
import { Cluster, type Node } from './harness.js';

let cluster: Cluster;
const clients = new Map<Node, GrpcClient>();

before(async () => {
  cluster = await Cluster.start(3);
  for (const node of cluster.nodes)
    clients.set(node, new GrpcClient(`127.0.0.1:${node.rpcPort}`, credentials.createInsecure()));
});

after(async () => {
  for (const client of clients.values()) client.close();
  await cluster.destroy();
});

function call<Request, Response>(
  node: Node,
  method: GrpcMethod<Request, Response>,
  request: Request,
  metadata: Metadata = new Metadata(),
): Promise<Response> {
  return new Promise((resolve, reject) => {
    clients
      .get(node)!
      .makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        metadata,
        { deadline: Date.now() + 15_000 },
        (error, response) => (error ? reject(error) : resolve(response!)),
      );
  });
}

/** One call with bytes as they are: what another language's client of the original would send. */
function raw(node: Node, path: string, hex: string, metadata?: Metadata): Promise<string> {
  const same = (bytes: Buffer): Buffer => bytes;
  const method = { path, requestSerialize: same, responseDeserialize: same } as GrpcMethod<Buffer, Buffer>;
  return call(node, method, Buffer.from(hex, 'hex'), metadata).then((bytes) => bytes.toString('hex'));
}

const codeOf = (error: ServiceError): unknown => error.metadata.get('dcache-error')[0];

async function get(node: Node, key: string, level?: 'local' | 'linearizable'): Promise<EntryView | undefined> {
  return fromV1GetResponse(await call(node, cacheServiceV1.get, v1GetRequest(utf8(key), level)));
}

test("the original's calls have the original's bytes, on every node", async () => {
  for (const node of cluster.nodes) {
    assert.equal(await raw(node, '/pb.Cache/Set', '0a016b12020102'), '');
    assert.equal(await raw(node, '/pb.Cache/Get', '0a016b'), '0a020102');
    const servers = Buffer.from(await raw(node, '/pb.Cache/GetServers', ''), 'hex').toString('latin1');
    for (const { name, rpcPort } of cluster.nodes) {
      assert.ok(servers.includes(`\n\x05${name}`), servers);
      assert.ok(servers.includes(`127.0.0.1:${rpcPort}`), servers);
    }
    assert.ok(servers.includes('"\x05Voter'), servers);
    await assert.rejects(raw(node, '/pb.Cache/Get', '0a046e6f6e65'), { code: 5 });
    // A client that knows more fields than the server must not be refused for it.
    assert.equal(await raw(node, '/pb.Cache/Set', '0a016b12020102' + '9a0603787878'), '');
    assert.equal(await raw(node, '/pb.Cache/Delete', '0a016b'), '');
    await assert.rejects(raw(node, '/pb.Cache/Delete', '0a016b'), { code: 5 });
  }
});

test('metadata chooses how fresh a Get is', async () => {
  const [first] = cluster.nodes as [Node];
  await raw(first, '/pb.Cache/Set', '0a016c12020102');
  for (const level of ['local', 'lease', 'linearizable']) {
    const metadata = new Metadata();
    metadata.set('dcache-consistency', level);
    const leader = await cluster.leader();
    assert.equal(await raw(leader, '/pb.Cache/Get', '0a016c', metadata), '0a020102');
  }
  const wrong = new Metadata();
  wrong.set('dcache-consistency', 'strong');
  await assert.rejects(raw(first, '/pb.Cache/Get', '0a016c', wrong), { code: 3, details: /linearizable/ });
});

test('a set answers with its revision, which a condition and a read then know', async () => {
  const [first, second] = cluster.nodes as [Node, Node];
  const write = (value: string, condition?: { type: 1 | 2 | 3; revision: number }, ttlMs = 0) =>
    call(
      first,
      cacheServiceV1.set,
      v1SetRequest({ key: utf8('c'), value: utf8(value), ttlMs, condition }, undefined),
    ).then((response) => Number(response.revision));
  const revision = await write('1', { type: 1, revision: 0 });
  assert.equal((await get(second, 'c'))?.revision, revision);
  const refusal = await write('2', { type: 1, revision: 0 }).catch((error: ServiceError) => error);
  assert.ok(refusal instanceof Error);
  assert.equal(refusal.code, 9);
  assert.equal(codeOf(refusal), 'precondition-failed');
  const next = await write('3', { type: 3, revision }, 60_000);
  const entry = await get(second, 'c');
  assert.equal(entry?.revision, next);
  assert.ok(entry.ttlMs !== undefined && entry.ttlMs > 0 && entry.ttlMs <= 60_000, String(entry.ttlMs));
  const request = v1DeleteRequest(utf8('c'), { type: 3, revision: next }, undefined);
  assert.equal((await call(second, cacheServiceV1.delete, request)).deleted, true);
  const again = await call(second, cacheServiceV1.delete, v1DeleteRequest(utf8('c'), undefined, undefined));
  assert.equal(again.deleted, false);
});

test('a multi-set is one entry of the log, and a multi-get sees it whole or not at all', async () => {
  const keys = Array.from({ length: 50 }, (_, at) => utf8(`many-${at}`));
  const writeAll = async (node: Node, round: number) => {
    const sets = keys.map((key) => ({ key, value: utf8(String(round)), ttlMs: 0 }));
    return call(node, cacheServiceV1.setMany, v1SetManyRequest(sets, undefined));
  };
  const leader = await cluster.leader();
  // What expires, and which keys were read, takes an entry now and then; beside that it is exactly one.
  const revisions = await eventually('a multi-set that is alone in the log', async () => {
    const before = (await leader.status()).appliedIndex;
    const written = await writeAll(leader, 0);
    return (await leader.status()).appliedIndex === before + 1 && written.revisions;
  });
  assert.deepEqual(
    revisions.map((revision) => revision - revisions[0]!),
    keys.map((_, at) => BigInt(at)),
  );
  let isDone = false;
  const writer = (async () => {
    for (let round = 1; round <= 40; round++) await writeAll(cluster.nodes[round % 3]!, round);
    isDone = true;
  })();
  for (let at = 0; !isDone; at++) {
    const response = await call(cluster.nodes[at % 3]!, cacheServiceV1.getMany, v1GetManyRequest(keys, undefined));
    const values = new Set(response.results.map((result) => Buffer.from(result.entry!.value).toString()));
    assert.equal(values.size, 1, `one read saw ${[...values]}`);
  }
  await writer;
});

test('a multi-set with one condition that fails writes nothing anywhere', async () => {
  const [, second] = cluster.nodes as [Node, Node];
  const sets = [
    { key: utf8('none-1'), value: utf8('x'), ttlMs: 0 },
    { key: utf8('none-2'), value: utf8('x'), ttlMs: 0, condition: { type: 2, revision: 0 } as const },
  ];
  const refusal = await call(second, cacheServiceV1.setMany, v1SetManyRequest(sets, undefined)).catch(
    (error: ServiceError) => error,
  );
  assert.ok(refusal instanceof Error);
  assert.match(refusal.details, /set 1 was refused/);
  for (const node of cluster.nodes) assert.equal(await get(node, 'none-1'), undefined);
});

test('a write sent twice under a session, to two nodes, is applied once; an unknown session says so', async () => {
  const [first, second, third] = cluster.nodes as [Node, Node, Node];
  const { session } = await call(first, cacheServiceV1.openSession, v1OpenSessionRequest(0));
  const init = { key: utf8('once'), value: utf8('x'), ttlMs: 0, condition: { type: 1, revision: 0 } as const };
  const request = v1SetRequest(init, { session: Number(session), sequence: 1, lowestUnanswered: 1 });
  const { revision } = await call(first, cacheServiceV1.set, request);
  assert.equal((await call(second, cacheServiceV1.set, request)).revision, revision);
  const strange = v1SetRequest(init, { session: Number(revision), sequence: 1, lowestUnanswered: 1 });
  const refusal = await call(third, cacheServiceV1.set, strange).catch((error: ServiceError) => error);
  assert.ok(refusal instanceof Error);
  assert.equal(refusal.code, 10);
  assert.equal(codeOf(refusal), 'session-expired');
});

test('each node tells its status, health and, to tools, its services', async () => {
  const leader = await cluster.leader();
  for (const node of cluster.nodes) {
    const status = fromGrpcStatus(await call(node, adminService.status, v1StatusRequest()));
    assert.equal(status.id, node.name);
    assert.equal(status.leader, leader.name);
    assert.equal(status.role, node === leader ? 'leader' : 'follower');
    assert.equal(status.servers.length, 3);
    assert.match(status.version, /^\d+\.\d+\.\d+/);
    const check = healthService.Check as unknown as GrpcMethod<object, { status: string }>;
    for (const service of ['', 'pb.Cache', 'dcache.v1.Cache', 'dcache.v1.Admin'])
      assert.equal((await call(node, check, { service })).status, 'SERVING');
  }
  const names = await listServices(leader);
  for (const name of ['pb.Cache', 'dcache.v1.Cache', 'dcache.v1.Admin', 'grpc.health.v1.Health'])
    assert.ok(names.includes(name), names);
});

test('leadership goes to the node that is named, and only the leader gives it away', async () => {
  const leader = await cluster.leader();
  const [next, other] = (await cluster.followers()) as [Node, Node];
  const refusal = await call(other, adminService.transferLeadership, v1TransferLeadershipRequest(undefined)).catch(
    (error: ServiceError) => error,
  );
  assert.ok(refusal instanceof Error);
  assert.equal(codeOf(refusal), 'not-leader');
  assert.match(refusal.details, new RegExp(`ask ${leader.name} at 127.0.0.1:${leader.rpcPort}`));
  const request = v1TransferLeadershipRequest(next.name);
  assert.equal((await call(leader, adminService.transferLeadership, request)).leader, next.name);
  await eventually('all see the new leader', async () => (await other.status()).leader === next.name);
  await assert.rejects(call(next, adminService.transferLeadership, v1TransferLeadershipRequest('nobody')), {
    code: 5,
  });
});

test('a live member is not removed by another, a dead one is, and one that is asked leaves and ends', async () => {
  const leader = await cluster.leader();
  const [goes, dies] = (await cluster.followers()) as [Node, Node];
  await assert.rejects(call(leader, adminService.leave, v1LeaveRequest(dies.name)), {
    code: 9,
    details: /is alive at/,
  });
  await dies.kill();
  await eventually('gossip knows that it is dead', async () => {
    try {
      await call(leader, adminService.leave, v1LeaveRequest(dies.name));
      return true;
    } catch (error) {
      return (error as ServiceError).code !== 9 ? Promise.reject(error) : false;
    }
  });
  assert.equal((await leader.status()).servers.length, 2);
  await call(goes, adminService.leave, v1LeaveRequest(goes.name));
  assert.equal(await goes.exited(), 0);
  await eventually('one is left', async () => (await leader.status()).servers.length === 1);
  await assert.rejects(call(leader, adminService.leave, v1LeaveRequest('')), { code: 9, details: /last voter/ });
  assert.equal(await raw(leader, '/pb.Cache/Set', '0a016b12020102'), '');
});

/** The names that server reflection gives, as one string. */
function listServices(node: Node): Promise<string> {
  return new Promise((resolve, reject) => {
    const same = (bytes: Buffer): Buffer => bytes;
    const stream = clients
      .get(node)!
      .makeBidiStreamRequest('/grpc.reflection.v1.ServerReflection/ServerReflectionInfo', same, same);
    stream.on('data', (bytes: Buffer) => {
      resolve(bytes.toString('latin1'));
      stream.end();
    });
    stream.on('error', reject);
    // ServerReflectionRequest { list_services: "*" }
    stream.write(Buffer.from('3a012a', 'hex'));
  });
}
