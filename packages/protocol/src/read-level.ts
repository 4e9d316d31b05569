import { ReadLevel } from './command.js';
import { DcacheError } from './errors.js';

/** The level that `text` names, or `bad-argument` that says what `name` takes. */
export function parseReadLevel(text: string, name: string): ReadLevel {
  if (text === ReadLevel.local || text === ReadLevel.lease || text === ReadLevel.linearizable) return text;
  throw new DcacheError(
    'bad-argument',
    `${name} is ${JSON.stringify(text.slice(0, 40))}; it takes ${Object.values(ReadLevel).join(', ')}`,
  );
}
