import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { toFailure } from './errors.js';

function failure(code: status, details: string, told?: string) {
  const metadata = new Metadata();
  if (told) metadata.set('dcache-error', told);
  const { kind, error, isLinkDown } = toFailure({ code, details, metadata } as ServiceError, 'h:1');
  return [kind, error.code, isLinkDown];
}

test('a call counts as undone only where the library says that it was never sent', () => {
  const refused = 'No connection established. Last error: connect ECONNREFUSED. Resolution note: ';
  assert.deepEqual(failure(status.UNAVAILABLE, refused), ['undone', 'unavailable', true]);
  assert.deepEqual(failure(status.UNAVAILABLE, 'Name resolution failed for target dns:h:1'), [
    ...['undone', 'unavailable', true],
  ]);
  assert.deepEqual(failure(status.UNAVAILABLE, 'Connection dropped'), ['unknown', 'unavailable', true]);
  const late = 'Deadline exceeded after 1.0s,name resolution: 0.001s,metadata filters: 0.002s,';
  for (const waiting of ['Waiting for LB pick', 'waiting for name resolution'])
    assert.deepEqual(failure(status.DEADLINE_EXCEEDED, late + waiting), ['undone', 'unavailable', true], waiting);
  assert.deepEqual(failure(status.DEADLINE_EXCEEDED, `${late}time to current attempt start: 0.1s,remote_addr=h:1`), [
    ...['unknown', 'timeout', true],
  ]);
  for (const code of [status.CANCELLED, status.INTERNAL, status.UNKNOWN])
    assert.deepEqual(failure(code, 'Received RST_STREAM'), ['unknown', 'internal', false]);
});

test('what no gRPC server answers is of something else, and what a proxy says of its server passes', () => {
  const reason = (details: string, code = status.INTERNAL, contentType?: string): unknown[] => {
    const error = { code, details, metadata: new Metadata() } as ServiceError;
    const { kind, isNobody, fault } = toFailure(error, 'h:1', undefined, contentType);
    return [kind, isNobody ?? false, fault?.reason, fault?.isLasting];
  };
  assert.deepEqual(reason('Received HTTP status code 404', status.UNIMPLEMENTED), ['undone', true, 'not-grpc', true]);
  assert.deepEqual(reason('Received HTTP status code 401', status.UNAUTHENTICATED), ['undone', true, 'not-grpc', true]);
  const page = 'Received RST_STREAM with code 0 (Call ended without gRPC status)';
  assert.deepEqual(reason(page), ['unknown', true, 'not-grpc', true]);
  for (const http of [301, 302, 307])
    assert.deepEqual(reason(`Received HTTP status code ${http}`, status.UNKNOWN), ['undone', true, 'not-grpc', true]);
  const empty = 'Received HTTP status code 200';
  for (const details of [page, empty]) {
    for (const type of ['text/html', 'text/plain; charset=utf-8', 'application/json'])
      assert.deepEqual(reason(details, status.INTERNAL, type), ['undone', true, 'not-grpc', true], type);
    for (const type of ['application/grpc', 'application/grpc+proto', undefined])
      assert.deepEqual(reason(details, status.INTERNAL, type), ['unknown', true, 'not-grpc', true], type);
  }
  for (const http of [408, 429, 502])
    assert.equal(reason(`Received HTTP status code ${http}`, status.UNAVAILABLE, 'text/html')[2], undefined, `${http}`);
  for (const http of [408, 429, 502, 503, 504])
    assert.equal(reason(`Received HTTP status code ${http}`, status.UNAVAILABLE)[2], undefined, `${http}`);
});

test("the server's own code goes before the status", () => {
  assert.deepEqual(failure(status.UNAVAILABLE, 'x', 'no-leader'), ['undone', 'unavailable', false]);
  assert.deepEqual(failure(status.UNAVAILABLE, 'x', 'stopping'), ['undone', 'unavailable', true]);
  assert.deepEqual(failure(status.UNAVAILABLE, 'x', 'not-leader'), ['undone', 'not-leader', false]);
  assert.deepEqual(failure(status.DEADLINE_EXCEEDED, 'x', 'timeout'), ['undone', 'unavailable', false]);
  assert.deepEqual(failure(status.DEADLINE_EXCEEDED, 'x', 'unknown-outcome'), ['unknown', 'unknown-outcome', false]);
  assert.deepEqual(failure(status.ABORTED, 'x', 'session-expired'), ['session-expired', 'unknown-outcome', false]);
  assert.deepEqual(failure(status.RESOURCE_EXHAUSTED, 'x', 'full'), ['final', 'full', false]);
  assert.deepEqual(failure(status.INVALID_ARGUMENT, 'x', 'too-large'), ['final', 'too-large', false]);
  assert.deepEqual(failure(status.FAILED_PRECONDITION, 'x', 'a code of tomorrow'), [
    ...['final', 'precondition-failed', false],
  ]);
});

test('a time that was over is laid to the leader only where the server says so', () => {
  const reason = (details: string) => {
    const metadata = new Metadata();
    metadata.set('dcache-error', 'timeout');
    return toFailure({ code: status.DEADLINE_EXCEEDED, details, metadata } as ServiceError, 'h:1').error.reason;
  };
  assert.equal(reason('no leader took the request within the time that its client gave it'), 'no-leader');
  assert.equal(reason('the time that the client gave the call (grpc-timeout) is over; nothing was done'), undefined);
});

test('a message that the transport refuses is too large, and a call that it does not know unsupported', () => {
  assert.deepEqual(failure(status.RESOURCE_EXHAUSTED, 'Received message larger than max (8 vs 4)'), [
    ...['final', 'too-large', false],
  ]);
  assert.deepEqual(failure(status.RESOURCE_EXHAUSTED, 'a message above 100 bytes, the most that is allowed'), [
    ...['final', 'too-large', false],
  ]);
  const named = { code: status.RESOURCE_EXHAUSTED, details: 'a message above 100 bytes', metadata: new Metadata() };
  named.metadata.set('dcache-error', 'too-large');
  const { kind, error } = toFailure(named as ServiceError, 'h:1');
  assert.deepEqual([kind, error.code], ['final', 'too-large']);
  assert.match(error.message, /^h:1: .*a message above 100 bytes.*--max-value-bytes/);
  assert.deepEqual(failure(status.UNIMPLEMENTED, 'there is no method', 'method-not-allowed'), [
    ...['final', 'unsupported', false],
  ]);
  assert.deepEqual(failure(status.UNIMPLEMENTED, 'The server does not implement it'), ['final', 'unsupported', false]);
});
