import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { Client } from '@dcache/client';
import { eventually, TestCa } from '@dcache/testing';
import { Cluster, clientBin, Node, run } from './harness.js';

/** What a person sees who uses the command line wrongly, or whose cluster is not well. */

const folder = mkdtempSync(join(tmpdir(), 'dcache-client-faults-'));
const full = 'full-access-token-1';
const reader = 'read-only-token-22';
const listening: { server: Server; sockets: Set<Socket> }[] = [];
let ca: TestCa;
let plain: Cluster;
let secure: Node;

before(async () => {
  ca = new TestCa(folder, 'ca');
  const { cert, key } = ca.issue('secure');
  writeFileSync(join(folder, 'tokens'), `${full}\nread ${reader}\n`);
  secure = await Node.create('secure', [
    ...['--server-tls-cert-file', cert, '--server-tls-key-file', key],
    ...['--auth-token-file', join(folder, 'tokens')],
  ]);
  secure.start('--bootstrap');
  plain = await Cluster.start(1);
  await using client = new Client({ address: addressOf(secure), token: full, tls: { ca: readFileSync(ca.cert) } });
  await eventually('the secure node serves', async () => (await client.set('first', 'x')) > 0);
});

after(async () => {
  await secure?.kill();
  await plain?.destroy();
  for (const { server, sockets } of listening) {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
  rmSync(folder, { recursive: true });
});

function addressOf(node: Node): string {
  return `127.0.0.1:${node.rpcPort}`;
}

async function listen(server: Server): Promise<string> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
  });
  listening.push({ server, sockets });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A fault: its exit code, and what the one line on standard error must say beside the address. */
async function faulty(args: readonly string[], code: number, ...said: (string | RegExp)[]): Promise<void> {
  const got = await run(process.execPath, [clientBin, ...args]);
  const what = `${args.join(' ')}: ${got.stderr}`;
  assert.equal(got.code, code, what);
  assert.match(got.stderr, /^dcache-client: [^\n]+\n$/, `one line: ${what}`);
  assert.equal(got.stdout, '', what);
  for (const part of said)
    assert.ok(typeof part === 'string' ? got.stderr.includes(part) : part.test(got.stderr), what);
}

test('TLS on one side only, and certificates that do not fit, are told with the flag that mends them', async () => {
  const node = plain.nodes[0]!;
  const trust = ['--tls-ca-file', ca.cert];
  await faulty(['--addr', addressOf(node), ...trust, 'get', 'k'], 5, addressOf(node), '--tls flags', '[no-tls]');
  await faulty(['--addr', addressOf(secure), 'get', 'k'], 5, addressOf(secure), '--tls-ca-file', '[wants-tls]');
  const untrusted = ['--addr', addressOf(secure), '--tls', 'get', 'k'];
  await faulty(untrusted, 5, addressOf(secure), '--tls-ca-file', '[certificate-untrusted]');
  const misnamed = ['--addr', addressOf(secure), ...trust, '--tls-server-name', 'other.test', 'get', 'k'];
  await faulty(misnamed, 5, addressOf(secure), 'other.test', 'DNS:localhost', '[certificate-wrong-name]');

  const shows = (certificate: { cert: string; key: string }, more = {}): Promise<string> =>
    listen(
      createTlsServer(
        { cert: readFileSync(certificate.cert), key: readFileSync(certificate.key), ALPNProtocols: ['h2'], ...more },
        (socket) => socket.on('error', () => {}),
      ),
    );
  const expired = await shows(ca.issue('expired', -1));
  await faulty(['--addr', expired, ...trust, 'get', 'k'], 5, expired, '[certificate-expired]');
  const demanding = await shows(ca.issue('demanding'), { requestCert: true, ca: readFileSync(ca.cert) });
  await faulty(['--addr', demanding, ...trust, 'get', 'k'], 5, demanding, '--tls-cert-file', '[certificate-wanted]');
});

test('a certificate for an address is taken, without a word about it', async () => {
  const flags = ['--addr', addressOf(secure), '--tls-ca-file', ca.cert, '--token', full];
  assert.deepEqual(await run(process.execPath, [clientBin, ...flags, 'get', 'first']), {
    code: 0,
    stdout: 'x',
    stderr: '',
  });
});

test('a Serf port, and a port where nothing listens, are told from a server', async () => {
  const { serfAddress } = plain.nodes[0]!;
  await faulty(['--addr', serfAddress, 'get', 'k'], 5, serfAddress, '--rpc-port', '[not-grpc]');
  // No system gives this port to anybody by chance, as it might with one that was free a moment ago.
  const address = '127.0.0.1:1';
  const commands = [['get', 'k'], ['set', 'k', 'v'], ['status'], ['snapshot-save', join(folder, 'none')], ['bench']];
  for (const command of commands)
    await faulty(['--addr', address, '--timeout', '60s', ...command], 5, address, 'ECONNREFUSED', '[refused]');
  assert.deepEqual(
    readdirSync(folder).filter((file) => file.startsWith('none')),
    [],
  );
});

test('with --json what goes wrong is JSON, too, with its code and reason', async () => {
  const missing = join(folder, 'missing');
  const unreachable = { code: 'unavailable', reason: 'refused' };
  const cases: [args: string[], exitCode: number, error: object][] = [
    ...['get k', 'set k v', 'delete k', 'servers', 'status', 'transfer-leadership', 'leave n', 'bench'].map(
      (args): [string[], number, object] => [['--addr', '127.0.0.1:1', ...args.split(' ')], 5, unreachable],
    ),
    [['--addr', '127.0.0.1:1', 'snapshot-save', missing], 5, unreachable],
    [['--addr', addressOf(plain.nodes[0]!), 'snapshot-restore', missing], 1, { code: 'file', reason: undefined }],
    [['--addr', addressOf(plain.nodes[0]!), 'leave', 'nobody'], 3, { code: 'not-found', reason: undefined }],
    [['--tls-ca-file', missing, 'get', 'k'], 2, { code: 'bad-argument', reason: undefined }],
  ];
  for (const [args, exitCode, expected] of cases) {
    const got = await run(process.execPath, [clientBin, '--json', ...args]);
    assert.equal(got.code, exitCode, got.stderr);
    assert.equal(got.stdout, '');
    assert.match(got.stderr, /^[^\n]+\n$/);
    const { code, reason, message } = JSON.parse(got.stderr).error;
    assert.deepEqual({ code, reason }, expected, got.stderr);
    assert.ok(typeof message === 'string' && message.length > 10, got.stderr);
  }
});

test('files that a flag names are told by flag and name', async () => {
  const missing = join(folder, 'missing');
  for (const flag of ['--tls-ca-file', '--token-file']) await faulty([flag, missing, 'get', 'k'], 2, flag, missing);
  const notPem = join(folder, 'tokens');
  await faulty(['--tls-ca-file', notPem, 'get', 'k'], 2, `--tls-ca-file ${notPem}`, 'PEM');
  const [one, other] = [ca.issue('one'), ca.issue('other')];
  const unfit = ['--tls-cert-file', one.cert, '--tls-key-file', other.key, 'get', 'k'];
  await faulty(unfit, 2, `--tls-key-file ${other.key}`);
  await faulty(['--token', 'a b', 'get', 'k'], 2, '--token');
  const address = ['--addr', addressOf(plain.nodes[0]!)];
  await faulty([...address, 'set', 'k', '--file', missing], 1, missing, 'no such file');
  await faulty([...address, 'snapshot-restore', missing], 1, missing, 'no such file');
  const nowhere = join(missing, 'file');
  await faulty([...address, 'snapshot-save', nowhere], 1, `${nowhere} cannot be written`, /^(?!.*part-)/s);
});

test('a token that is missing, wrong or may only read is told with the ways to give one', async () => {
  const flags = ['--addr', addressOf(secure), '--tls-ca-file', ca.cert];
  await faulty([...flags, 'get', 'k'], 1, addressOf(secure), '--token', 'DCACHE_TOKEN', '[unauthenticated]');
  const wrong = ['--token', 'some-other-token-3', 'get', 'k'];
  await faulty([...flags, ...wrong], 1, addressOf(secure), 'DCACHE_TOKEN', '[unauthenticated]');
  const onlyReads = ['--token', reader, 'set', 'k', 'v'];
  await faulty([...flags, ...onlyReads], 1, addressOf(secure), '--token', '[forbidden]');
});

test('keys and values beyond the limits are told with what is allowed', async () => {
  const flags = ['--addr', addressOf(plain.nodes[0]!)];
  await faulty([...flags, 'set', 'k'.repeat(65_537), 'v'], 1, '65537', '65536', '[too-large]');
  const file = join(folder, 'value');
  for (const bytes of [1_048_577, 4_000_000, 33_554_433]) {
    writeFileSync(file, Buffer.alloc(bytes));
    await faulty([...flags, 'set', 'k', '--file', file], 1, '--max-value-bytes', '[too-large]');
  }
});

test('a key that is no UTF-8 is refused, and is not taken for another one', async () => {
  const client = (bytes: string): Promise<{ code: number | null; stdout: string; stderr: string }> => {
    const args = `--addr ${addressOf(plain.nodes[0]!)} set "$(printf '${bytes}')" v`;
    return run('sh', ['-c', `exec "${process.execPath}" "${clientBin}" ${args}`]);
  };
  const refused = await client('k\\377');
  assert.equal(refused.code, 2, refused.stderr);
  assert.match(refused.stderr, /^dcache-client: the argument "k\ufffd" is no UTF-8; [^\n]*\n$/);
  assert.equal((await plain.nodes[0]!.get('k%EF%BF%BD')).status, 404);
  assert.deepEqual(await client('k\\357\\277\\275'), { code: 0, stdout: '', stderr: '' });
  assert.equal((await plain.nodes[0]!.get('k%EF%BF%BD')).text, 'v');
});

test('SIGINT ends a bench with what it measured', async () => {
  const child = spawn(process.execPath, [
    clientBin,
    '--addr',
    addressOf(plain.nodes[0]!),
    'bench',
    '--duration',
    '1h',
    '--json',
  ]);
  const ended = once(child, 'close');
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  await using client = new Client({ address: addressOf(plain.nodes[0]!) });
  await eventually('all keys are written', async () => (await client.get('dcache-bench-999')) !== undefined);
  // Revisions go on only with the writes of the measured part.
  const { revision } = await client.admin.status();
  await eventually('it measures', async () => (await client.admin.status()).revision > revision + 100);
  child.kill('SIGINT');
  const [, signal] = await ended;
  assert.equal(signal, 'SIGINT', 'a shell sees that it was interrupted');
  assert.ok(JSON.parse(stdout).writes.operations > 0, stdout);
});

test('SIGINT in the middle of a save leaves the file as it was, and nothing beside it', async () => {
  const node = plain.nodes[0]!;
  await using client = new Client({ address: addressOf(node) });
  for (let i = 0; i < 4; i++) await client.set(`large-${i}`, Buffer.alloc(900_000, i));
  // Between them stands one that passes on half a megabyte and then nothing more.
  let passed = 0;
  const stalls = await listen(
    createServer((socket) => {
      const onward = connect(node.rpcPort, '127.0.0.1');
      onward.on('error', () => {});
      socket.pipe(onward);
      onward.on('data', (chunk) => {
        passed += chunk.length;
        if (passed > 500_000) onward.pause();
        else socket.write(chunk);
      });
      socket.on('close', () => onward.destroy());
    }),
  );
  const file = join(folder, 'saved.dcache');
  writeFileSync(file, 'as it was');
  const child = spawn(process.execPath, [clientBin, '--addr', stalls, 'snapshot-save', file]);
  const ended = once(child, 'close');
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const beside = (): string[] => readdirSync(folder).filter((name) => name.startsWith('saved.dcache'));
  await eventually('it saves', () => beside().length === 2 && passed > 500_000);
  child.kill('SIGINT');
  const [, signal] = await ended;
  assert.equal(signal, 'SIGINT');
  assert.match(stderr, /^dcache-client: ended by SIGINT: .*saved\.dcache is as it was\n$/);
  assert.deepEqual(beside(), ['saved.dcache']);
  assert.equal(readFileSync(file, 'utf8'), 'as it was');
});

test('SIGINT while a value or a snapshot is awaited on standard input ends at once, and nothing was done', async () => {
  const address = addressOf(plain.nodes[0]!);
  await using client = new Client({ address });
  await client.set('kept', Buffer.alloc(900_000));
  const saved: Uint8Array[] = [];
  for await (const chunk of client.admin.saveSnapshot()) saved.push(chunk);
  const begin = Buffer.concat(saved).subarray(0, 300_000);
  const cases = [
    { args: ['set', 'awaited'], input: Buffer.alloc(300_000), said: /nothing was written/ },
    { args: ['snapshot-restore', '-', '--replace'], input: begin, said: /nothing was restored/ },
  ];
  for (const { args, input, said } of cases) {
    const child = spawn(process.execPath, [clientBin, '--addr', address, ...args]);
    const ended = once(child, 'close');
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.stdin.on('error', () => {});
    // More than a pipe holds: when it has gone, the client reads.
    await new Promise((resolve) => child.stdin.write(input, resolve));
    child.kill('SIGINT');
    const [, signal] = await ended;
    assert.equal(signal, 'SIGINT', stderr);
    assert.match(stderr, said);
  }
  assert.equal(await client.get('awaited'), undefined);
  assert.ok(await client.get('kept'), 'nothing was replaced');
});

test('where no leader is, each command says so, and what is stored can be read as it is here', async () => {
  const cluster = await Cluster.start(3);
  try {
    const leader = await cluster.leader();
    await using client = new Client({ address: addressOf(leader) });
    await client.set('k', 'v');
    const [left, ...others] = cluster.nodes as [Node, Node, Node];
    await eventually('it has the value', async () => (await left.get('k', 'local')).text === 'v');
    for (const node of others) await node.kill();
    await eventually('its leader is gone', async () => (await left.status()).leader === undefined);
    const flags = ['--addr', addressOf(left), '--timeout', '1s'];
    const told = [addressOf(left), 'no leader', 'node1, node2, node3', '[no-leader]'] as const;
    for (const command of [
      ['get', 'k'],
      ['set', 'k', 'x'],
      ['delete', 'k'],
    ])
      await faulty([...flags, ...command], 5, ...told);
    const got = await run(process.execPath, [clientBin, ...flags, 'get', 'k', '--consistency', 'local']);
    assert.deepEqual(got, { code: 0, stdout: 'v', stderr: '' });
    // With more time than the server has patience, an operator's command is not left in doubt.
    await faulty(['--addr', addressOf(left), 'transfer-leadership'], 5, '[no-leader]');
  } finally {
    await cluster.destroy();
  }
});
