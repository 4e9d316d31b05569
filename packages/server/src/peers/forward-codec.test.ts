import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BytesError } from '@dcache/base';
import { CommandType, DcacheError, ReplyType } from '@dcache/protocol';
import fc from 'fast-check';
import {
  decodeForwardRequest,
  decodeForwardResponse,
  encodeForwardRequest,
  encodeForwardResponse,
} from './forward-codec.js';

test('a batch of commands and its outcomes arrive as they left', () => {
  const request = {
    batch: 300,
    commands: [
      {
        type: CommandType.delete,
        key: new Uint8Array([1]),
        condition: undefined,
        session: undefined,
        idempotency: { key: new Uint8Array(16).fill(1), fingerprint: new Uint8Array(16).fill(2) },
      },
    ],
  };
  assert.deepEqual(decodeForwardRequest(encodeForwardRequest(request)), request);
  const response = decodeForwardResponse(
    encodeForwardResponse({
      batch: 300,
      outcomes: [{ type: ReplyType.ok, revision: 9 }, new DcacheError('busy', 'later')],
    }),
  );
  assert.deepEqual(response.outcomes[0], { type: ReplyType.ok, revision: 9 });
  assert.ok(response.outcomes[1] instanceof DcacheError);
  assert.equal(response.outcomes[1].code, 'busy');
});

test('bytes of anything else are a BytesError', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 50 }), fc.boolean(), (bytes, known) => {
      const frame = known ? new Uint8Array([1, 1, ...bytes]) : bytes;
      for (const decode of [decodeForwardRequest, decodeForwardResponse]) {
        try {
          decode(frame);
        } catch (error) {
          assert.ok(error instanceof BytesError, String(error));
        }
      }
    }),
    { numRuns: 1000 },
  );
});
