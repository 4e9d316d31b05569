import assert from 'node:assert/strict';
import { test } from 'node:test';
import { utf8 } from '@dcache/base';
import { type Command, CommandType, ConditionType, ReadLevel, ReplyType } from './command.js';
import { adminService } from './grpc-admin.js';
import {
  cacheServiceV1,
  maxManyKeys,
  v1DeleteCommand,
  v1DeleteResponse,
  v1GetManyResponse,
  v1GetResponse,
  v1Keys,
  v1ReadLevel,
  v1SetCommand,
  v1SetManyCommand,
  v1SetManyResponse,
  v1SetResponse,
} from './grpc-cache.js';
import {
  fromV1GetResponse,
  v1DeleteRequest,
  v1GetRequest,
  v1SetManyRequest,
  v1SetRequest,
  type WriteInit,
} from './grpc-requests.js';
import { defaultLimits } from './limits.js';

const stamp = { session: 9, sequence: 3, lowestUnanswered: 2 };
const write = (key: string, more: Partial<WriteInit> = {}): WriteInit => ({
  key: utf8(key),
  value: utf8('v'),
  ttlMs: 0,
  ...more,
});

test('the paths and the bytes of dcache.v1 are these, for ever', () => {
  assert.deepEqual(
    Object.values({ ...cacheServiceV1, ...adminService }).map((method) => method.path),
    [
      ...['Get', 'GetMany', 'Set', 'SetMany', 'Delete', 'OpenSession', 'CloseSession'].map(
        (name) => `/dcache.v1.Cache/${name}`,
      ),
      ...['Status', 'TransferLeadership', 'Leave', 'SnapshotSave', 'SnapshotRestore'].map(
        (name) => `/dcache.v1.Admin/${name}`,
      ),
    ],
  );
  const set = v1SetRequest(write('k', { ttlMs: 300, condition: { type: ConditionType.revision, revision: 7 } }), stamp);
  assert.equal(
    cacheServiceV1.set.requestSerialize(set).toString('hex'),
    ['0a016b', '120176', '18ac02', '3007', '3a06' + '0809' + '1003' + '1802'].join(''),
  );
  const get = v1GetRequest(utf8('k'), ReadLevel.lease);
  assert.equal(cacheServiceV1.get.requestSerialize(get).toString('hex'), '0a016b1002');
  const found = { value: utf8('v'), revision: 5, expiresAtMs: 1_300, flags: 0 };
  const response = v1GetResponse(found, 1_000);
  assert.equal(
    cacheServiceV1.get.responseSerialize(response).toString('hex'),
    ['0a08', '0a0176', '1005', '18ac02'].join(''),
  );
});

test('what a client asks is the command that a server sees', () => {
  for (const type of Object.values(ConditionType)) {
    const condition = { type, revision: type === ConditionType.revision ? 7 : 0 };
    const request = v1SetRequest(write('k', { ttlMs: 5, condition }), stamp);
    const seen = cacheServiceV1.set.requestDeserialize(cacheServiceV1.set.requestSerialize(request));
    assert.deepEqual(v1SetCommand(seen, defaultLimits), {
      type: CommandType.set,
      key: Buffer.from('k'),
      value: Buffer.from('v'),
      ttlMs: 5,
      flags: 0,
      condition,
      session: stamp,
      idempotency: undefined,
    });
  }
  const request = v1DeleteRequest(utf8('k'), { type: ConditionType.revision, revision: 7 }, undefined);
  assert.deepEqual(v1DeleteCommand(request, defaultLimits), {
    type: CommandType.delete,
    key: utf8('k'),
    condition: { type: ConditionType.revision, revision: 7 },
    session: undefined,
  } satisfies Command);
});

test('an entry tells its revision and the time it has left, and a miss is an answer', () => {
  const found = { value: utf8('v'), revision: 5, expiresAtMs: 1_300, flags: 0 };
  const view = (one: typeof found | undefined, nowMs: number) => fromV1GetResponse(v1GetResponse(one, nowMs));
  assert.deepEqual(view(found, 1_000), { value: utf8('v'), revision: 5, ttlMs: 300 });
  assert.equal(view(found, 9_000)?.ttlMs, 1, 'what is about to expire has not for ever');
  assert.equal(view({ ...found, expiresAtMs: 0 }, 9_000)?.ttlMs, undefined);
  assert.equal(view(undefined, 0), undefined);
});

test('the level is that of the request, else of its metadata, else of the server', () => {
  assert.equal(v1ReadLevel(1, 'lease'), ReadLevel.local);
  assert.equal(v1ReadLevel(3, undefined), ReadLevel.linearizable);
  assert.equal(v1ReadLevel(0, 'lease'), ReadLevel.lease);
  assert.equal(v1ReadLevel(0, undefined), undefined);
  assert.throws(() => v1ReadLevel(0, 'strong'), { code: 'bad-argument', message: /it takes local, lease/ });
  assert.throws(() => v1ReadLevel(4 as 3, undefined), { code: 'bad-argument' });
});

test('a multi-set keeps within its bounds, with one session and each key once', () => {
  const many = (sets: WriteInit[]) => v1SetManyCommand(v1SetManyRequest(sets, stamp), defaultLimits);
  const command = many([write('a'), write('b', { condition: { type: ConditionType.absent, revision: 0 } })]);
  assert.deepEqual(
    command.sets.map((set) => set.condition?.type),
    [undefined, ConditionType.absent],
  );
  assert.deepEqual(command.session, stamp);
  assert.throws(() => many([]), { code: 'bad-argument' });
  assert.throws(() => many([write('a'), write('a')]), { code: 'bad-argument', message: /set 1 writes a key/ });
  const tooMany = Array.from({ length: maxManyKeys + 1 }, (_, at) => write(`k${at}`));
  assert.throws(() => many(tooMany), { code: 'bad-argument', message: /1 to 1024/ });
  const large = [write('a', { value: new Uint8Array(600_000) }), write('b', { value: new Uint8Array(600_000) })];
  assert.throws(() => many(large), { code: 'too-large' });
  const stamped = v1SetManyRequest([write('a')], undefined);
  stamped.sets[0]!.session = v1SetRequest(write('a'), stamp).session!;
  assert.throws(() => v1SetManyCommand(stamped, defaultLimits), { code: 'bad-argument', message: /the request takes/ });
});

test('a multi-set answers with each revision, or with the set at fault', () => {
  assert.deepEqual(v1SetManyResponse({ type: ReplyType.ok, revision: 12 }, 3).revisions, [10n, 11n, 12n]);
  assert.throws(() => v1SetManyResponse({ type: ReplyType.preconditionFailed, revision: 4, count: 1 }, 3), {
    code: 'precondition-failed',
    message: /set 1 was refused, so none was written: the key's revision is 4/,
  });
});

test('values beyond what one answer holds are refused, not cut', () => {
  const found = { value: new Uint8Array(20 * 1_048_576), revision: 1, expiresAtMs: 0, flags: 0 };
  assert.throws(() => v1GetManyResponse([found, found], 0), { code: 'too-large' });
});

test('a missing key is no error to delete, and an expired session has a code of its own', () => {
  assert.equal(v1DeleteResponse({ type: ReplyType.notFound, revision: 0 }).deleted, false);
  assert.equal(v1DeleteResponse({ type: ReplyType.ok, revision: 4 }).revision, 4n);
  for (const respond of [v1DeleteResponse, v1SetResponse])
    assert.throws(() => respond({ type: ReplyType.sessionExpired, revision: 0 }), { code: 'session-expired' });
});

test('numbers beyond what is exact, broken stamps, false conditions and long keys are refused', () => {
  const refused = (change: (request: ReturnType<typeof v1SetRequest>) => void, message: RegExp) => {
    const request = v1SetRequest(write('k'), stamp);
    change(request);
    assert.throws(() => v1SetCommand(request, defaultLimits), { code: 'bad-argument', message });
  };
  refused((request) => {
    request.ttlMs = 2n ** 60n;
  }, /ttl_ms is/);
  refused((request) => {
    request.condition = { case: 'ifRevision', value: 2n ** 60n };
  }, /if_revision is/);
  refused((request) => {
    request.condition = { case: 'ifAbsent', value: false };
  }, /if_absent is false/);
  refused((request) => {
    request.session!.sequence = 0n;
  }, /the session stamp/);
  refused((request) => {
    request.session!.lowestUnanswered = 4n;
  }, /the session stamp/);
  assert.throws(() => v1Keys([new Uint8Array(65_537)], defaultLimits), { code: 'too-large' });
  assert.throws(() => v1Keys([new Uint8Array()], defaultLimits), { code: 'bad-argument' });
});
