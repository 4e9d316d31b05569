import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explain } from './advice.js';
import { ClientError } from './errors.js';

const late = new ClientError('unavailable', 'h:1 does not answer in time', { reason: 'no-answer' });

test('a call that had hardly any time is told how much it had, and not to look for another address', () => {
  assert.equal(
    explain(late, 5),
    'h:1 does not answer in time; --timeout gives it 5 ms; a time without a unit counts milliseconds [no-answer]',
  );
  assert.match(
    explain(late, 10_000),
    /^h:1 does not answer in time; --addr takes a server's RPC port[^;]* \[no-answer\]$/,
  );
  assert.match(
    explain(new ClientError('timeout', 'h:1: no answer in time'), 5),
    /--timeout gives it 5 ms.*\[timeout\]$/,
  );
  const refused = new ClientError('unavailable', 'h:1 refuses connections', { reason: 'refused' });
  assert.doesNotMatch(explain(refused, 5), /--timeout/);
});

test('every line has its code, also where the exit code tells the same', () => {
  for (const code of ['not-found', 'precondition-failed', 'internal'] as const)
    assert.equal(explain(new ClientError(code, 'so it is'), 10_000), `so it is [${code}]`);
});
