import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withMemberNames } from './member-names.js';

test('the lines of the consensus part name members, and leave alone what is no member or not known', () => {
  const said: unknown[] = [];
  const say = (level: string) => (fields: object, message: string) => void said.push([level, fields, message]);
  const names = new Map([
    [17, 'node1'],
    [18, 'node2'],
  ]);
  const logger = withMemberNames(
    { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') },
    (id) => names.get(id),
  );
  const err = new Error('no');
  logger.error({ full: [17, 99], silent: [] }, 'a');
  logger.warn({ to: 18, index: 17, err }, 'b');
  logger.info({ from: 99 }, 'c');
  logger.debug({ leader: undefined, term: 18 }, 'd');
  assert.deepEqual(said, [
    ['error', { full: ['node1', 99], silent: [] }, 'a'],
    ['warn', { to: 'node2', index: 17, err }, 'b'],
    ['info', { from: 99 }, 'c'],
    ['debug', { leader: undefined, term: 18 }, 'd'],
  ]);
});
