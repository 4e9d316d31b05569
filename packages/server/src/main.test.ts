import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';

/** Runs a node that a bug hits as soon as it serves; gives its exit code and all it said. */
async function hitBy(bug: string): Promise<{ readonly code: number; readonly lines: readonly string[] }> {
  const script = `
    import { main } from ${JSON.stringify(new URL('./main.js', import.meta.url).href)};
    await main(['--id', 'n1', '--http', '--bootstrap', '--addr', '127.0.0.1:0', '--rpc-port', '0']);
    setImmediate(() => { ${bug} });
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const [code] = (await once(child, 'close')) as [number];
  return { code, lines: said.trim().split('\n') };
}

test('a fault that nobody expected ends the node with one last line at level fatal, which says what and where', async () => {
  for (const [bug, message, type] of [
    ["throw new RangeError('a bug');", 'a bug', 'RangeError'],
    ["Promise.reject(new RangeError('a bug'));", 'a bug', 'RangeError'],
    ["Promise.reject('no error at all');", 'no error at all', 'Error'],
  ] as const) {
    const { code, lines } = await hitBy(bug);
    assert.equal(code, 1, bug);
    const entries = lines.map((line) => JSON.parse(line) as { level: number; msg: string; err?: { type: string } });
    assert.deepEqual(
      entries.filter(({ level }) => level >= 50).map(({ level, msg, err }) => [level, msg, err?.type]),
      [[60, message, type]],
    );
    assert.equal(entries.at(-1)!.level, 60, 'and nothing follows');
  }
});
