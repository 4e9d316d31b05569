import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

/** Runs a node that a bug hits as soon as it serves; gives its exit code and all it said. */
async function hitBy(
  bug: string,
  args: readonly string[] = ['--id', 'n1', '--http', '--bootstrap', '--addr', '127.0.0.1:0', '--rpc-port', '0'],
): Promise<{ readonly code: number; readonly lines: readonly string[] }> {
  const script = `
    import { main } from ${JSON.stringify(new URL('./main.js', import.meta.url).href)};
    await main(${JSON.stringify(args)});
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

/** Runs `dcache` with these arguments until it ends; gives its exit code and what it said where. */
async function dcache(
  ...args: string[]
): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  const bin = fileURLToPath(new URL('../bin/dcache.js', import.meta.url));
  const child = spawn(process.execPath, [bin, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const said = { out: '', err: '' };
  for (const [name, stream] of [
    ['out', child.stdout],
    ['err', child.stderr],
  ] as const)
    stream.setEncoding('utf8').on('data', (text: string) => {
      said[name] += text;
    });
  const [code] = (await once(child, 'close')) as [number];
  return { code, ...said };
}

test('dcache config shows the values and ends with the fault for which a start would end', async () => {
  for (const [args, fault] of [
    [['--http', '--addr', 'foo'], /^dcache: --addr is "foo"; it takes host:port/],
    [['--http', '--addr', '0.0.0.0:9000'], /^dcache: --addr binds to 0\.0\.0\.0, .*--insecure/],
    [
      ['--http', '--server-tls-cert-file', '/nope', '--server-tls-key-file', '/nope'],
      /^dcache: .*\/nope cannot be read/,
    ],
    [['--http', '--max-bytes', 'lots'], /^dcache: --max-bytes is "lots"; it takes bytes/],
    [['--http', '--rpc-port', '9000'], /^dcache: --addr and --rpc-port are both 9000/],
  ] as const) {
    const shown = await dcache('config', ...args);
    assert.match(shown.out, /^http = true +# flag --http$/m);
    assert.match(shown.err, fault);
    assert.deepEqual([shown.code, shown.err], [1, (await dcache(...args)).err], 'the same as at start');
  }
  const { code, err } = await dcache('config', '--http');
  assert.deepEqual([code, err], [0, '']);
});

test('a data directory that is not used is told in one line when the node starts', async () => {
  const args = [
    '--id',
    'n1',
    '--http',
    '--addr',
    '127.0.0.1:0',
    '--rpc-port',
    '0',
    '--bootstrap',
    '--data-dir',
    '/nowhere',
  ];
  const { lines } = await hitBy('process.exit(0);', args);
  const told = lines.filter((line) => line.includes('--data-dir'));
  assert.equal(told.length, 1);
  const { level, msg } = JSON.parse(told[0]!) as { level: number; msg: string };
  assert.equal(level, 40);
  assert.match(msg, /^--data-dir \/nowhere has no effect/);
});
