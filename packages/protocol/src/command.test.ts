import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ByteReader, ByteWriter, utf8 } from '@dcache/base';
import { type Command, CommandType, takesSession, withSession } from './command.js';
import { readCommand, writeCommand } from './command-codec.js';
import { grpcSetCommand } from './grpc.js';
import { v1SetCommand } from './grpc-cache.js';
import { v1SetRequest } from './grpc-requests.js';
import { httpWriteCommand, parseHttpRequest } from './http.js';
import { defaultLimits } from './limits.js';

const stamp = { session: 9, sequence: 2, lowestUnanswered: 1 };

function ofHttp(): Command {
  const request = parseHttpRequest('POST', '/k', {}, defaultLimits);
  assert.equal(request.kind, 'write');
  return httpWriteCommand(request as typeof request & { kind: 'write' }, utf8('v'));
}

test('a set has the same fields in the same order, wherever it is made', () => {
  const http = ofHttp();
  const writer = new ByteWriter();
  writeCommand(writer, http);
  const v1 = v1SetRequest({ key: utf8('k'), value: utf8('v'), ttlMs: 0 }, undefined);
  const made: Command[] = [
    http,
    grpcSetCommand({ key: 'k', value: utf8('v') } as Parameters<typeof grpcSetCommand>[0], defaultLimits),
    v1SetCommand(v1, defaultLimits),
    readCommand(new ByteReader(writer.finish())),
  ];
  for (const command of made) {
    assert.ok(takesSession(command));
    const fields = ['type', 'key', 'value', 'ttlMs', 'flags', 'condition', 'session', 'idempotency'];
    assert.deepEqual(Object.keys(command), fields);
    const stamped = withSession(command, stamp);
    assert.deepEqual(Object.keys(stamped), fields);
    assert.deepEqual(stamped, { ...command, session: stamp });
  }
});

test('any command that takes a session keeps all else under its stamp', () => {
  const entry = { key: utf8('k'), value: utf8('v'), ttlMs: 5, flags: 7 };
  const commands: Command[] = [
    { type: CommandType.set, ...entry, condition: { type: 1, revision: 0 } },
    { type: CommandType.delete, key: utf8('k'), condition: { type: 3, revision: 8 } },
    { type: CommandType.setMany, sets: [entry] },
    { type: CommandType.load, entries: [entry] },
    { type: CommandType.clear },
  ];
  for (const command of commands) {
    assert.ok(takesSession(command));
    const { session, ...rest } = withSession(command, stamp);
    assert.deepEqual(session, stamp);
    for (const [name, value] of Object.entries(command)) assert.equal(rest[name as keyof typeof rest], value, name);
  }
});
