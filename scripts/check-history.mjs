// Judges recorded histories: `npm run check-history -- FILE…`. The verdicts go to standard output, one line a file, and
// why a history is not linearizable goes to standard error, so that the output can be compared with a list of verdicts.
// Exits 0 when every file got its verdict (1 instead, with --exit-code, when one is not linearizable), 2 when a file
// cannot be read, is no history, or is too concurrent to judge.
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';

const { judgeHistory, parseHistory } = await import('../packages/sim/dist/index.js').catch((error) => {
  if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
  console.error('not built: run npm run build');
  process.exit(2);
});

const options = process.argv.slice(2).filter((arg) => arg.startsWith('--'));
const files = process.argv.slice(2).filter((arg) => !arg.startsWith('--'));
const unknown = options.filter((option) => option !== '--exit-code');
if (files.length === 0 || unknown.length > 0) {
  if (unknown.length > 0) console.error(`unknown option ${unknown.join(' ')}`);
  console.error('usage: npm run check-history -- [--exit-code] FILE…');
  process.exit(2);
}

let failed = false;
let violated = false;
for (const file of files) {
  try {
    const fault = judgeHistory(parseHistory(readFileSync(file, 'utf8')));
    console.log(`${basename(file)} ${fault === undefined ? 'linearizable' : 'not-linearizable'}`);
    if (fault !== undefined) console.error(`${basename(file)}: ${fault}\n`);
    violated ||= fault !== undefined;
  } catch (error) {
    console.error(`${file}: ${error.message}`);
    failed = true;
  }
}
process.exitCode = failed ? 2 : violated && options.includes('--exit-code') ? 1 : 0;
