import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { eventually, freePort } from '@dcache/testing';
import { clientBin, dcacheBin, http, Node, run } from './harness.js';

let node: Node;

before(async () => {
  node = await Node.create('single', ['--max-value-bytes', '1000']);
  node.start('--bootstrap');
  await eventually('the node is ready', async () => (await node.status()).isReady);
});

after(() => node.kill());

const dcache = (...args: string[]) => run(process.execPath, [dcacheBin, ...args]);

test('a server that would serve nothing says so', async () => {
  const { code, stderr } = await dcache('--bootstrap');
  assert.equal(code, 1);
  assert.match(stderr, /^dcache: a server must serve something: give --grpc, --http or both\n$/);
});

test('a port that is taken is named, the RPC port and the Serf port alike', async () => {
  const free = await freePort();
  const rpc = await dcache('--http', '--addr', `127.0.0.1:${free}`, '--rpc-port', String(node.rpcPort));
  assert.equal(rpc.code, 1);
  assert.match(rpc.stderr, new RegExp(`^dcache: .*127.0.0.1:${node.rpcPort}.*\\n$`));
  assert.match(rpc.stderr, /taken|in use/);
  const serf = await dcache('--http', '--addr', node.serfAddress, '--rpc-port', String(free));
  assert.equal(serf.code, 1);
  assert.match(serf.stderr, new RegExp(`^dcache: .*127.0.0.1:${node.serfPort}.*\\n$`));
  assert.match(serf.stderr, /taken|in use/);
});

test('flags that are wrong are refused in one line that says what is allowed', async () => {
  const cases: [string[], RegExp][] = [
    [['--http', '--addr', 'nonsense'], /--addr is "nonsense"; it takes host:port/],
    [['--http', '--join', 'a:b'], /--join is "a:b"; it takes host:port/],
    [['--http', '--rpc-port', '70000'], /--rpc-port is 70000; it takes an integer from 0 to 65535/],
    [['--http', '--in-memory=perhaps'], /--in-memory is "perhaps"; it takes true or false/],
    [['--http', '--eviction', 'random'], /--eviction is random; it takes sieve, s3fifo, fifo, none/],
    [['--http', '--max-bytes', 'lots'], /--max-bytes is "lots"; it takes bytes/],
    [['--nonsense'], /unknown option '--nonsense'/],
  ];
  for (const [args, message] of cases) {
    const { code, stderr } = await dcache(...args);
    assert.equal(code, 1, args.join(' '));
    assert.match(stderr, message);
    assert.doesNotMatch(stderr, /\n {4}at /, 'no stack trace');
  }
});

test('both spellings of a flag and --help work', async () => {
  for (const flag of ['-h', '--help', '-help']) {
    const { code, stdout } = await dcache(flag);
    assert.equal(code, 0);
    assert.match(stdout, /--in-memory/);
  }
  assert.match((await dcache('-addr', 'x', '-http')).stderr, /--addr is "x"/);
});

test('an empty key is 400, a value above the limit 413, and the node goes on', async () => {
  const empty = await http(node.rpcPort, 'POST', '/', { body: 'x' });
  assert.equal(empty.status, 400);
  assert.match(empty.text, /the key is empty; a key has 1 to 65536 bytes/);
  const large = await http(node.rpcPort, 'POST', '/large', { body: Buffer.alloc(1001) });
  assert.equal(large.status, 413);
  assert.match(large.text, /1001 bytes; at most 1000 are allowed \(--max-value-bytes\)/);
  assert.equal((await node.get('large')).status, 404);
  assert.equal((await node.set('fits', Buffer.alloc(1000))).status, 200);
  assert.equal((await node.set('nothing', '')).status, 200);
  assert.equal((await node.get('nothing')).text, '');
});

test('a value above the limit without a stated length is 413 too', async () => {
  const chunk = `${(2000).toString(16)}\r\n${'x'.repeat(2000)}\r\n0\r\n\r\n`;
  const answer = await raw(`POST /k HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n${chunk}`);
  assert.match(answer, /^HTTP\/1.1 413 /);
  assert.match(answer, /at most 1000 are allowed/);
});

test('a body that ends before its length, bytes of no protocol and a broken request do no harm', async () => {
  await raw('POST /cut HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc');
  assert.equal((await node.get('cut')).status, 404);
  assert.match(await raw('GET /k HTTP/1.1\r\nBroken Header\r\n\r\n'), /^HTTP\/1.1 400 /);
  await raw('\x00\x01\x02\x03');
  await raw(`PUT ${'x'.repeat(300_000)}`);
  assert.ok((await node.status()).isReady);
});

test('an unknown method is 405 with what is allowed, a broken escape 400', async () => {
  const patch = await http(node.rpcPort, 'PATCH', '/k');
  assert.equal(patch.status, 405);
  assert.equal(patch.headers.allow, 'GET, HEAD, POST, PUT, DELETE');
  assert.equal((await http(node.rpcPort, 'GET', '/%4')).status, 400);
  assert.equal((await http(node.rpcPort, 'GET', '/-/nothing')).status, 404);
});

test('a page of another origin may not write', async () => {
  const headers = { origin: 'http://evil.example' };
  const answer = await http(node.rpcPort, 'POST', '/evil', { body: 'x', headers });
  assert.equal(answer.status, 403);
  assert.equal((await node.get('evil')).status, 404);
});

test('a join address nobody answers is said, and tried again until somebody does', async () => {
  const [late, early] = [await Node.create('late'), await Node.create('early')];
  early.start('--join', late.serfAddress);
  try {
    await eventually('it says so', () => early.output.includes(`nobody answers at ${late.serfAddress}`));
    const refused = await http(early.rpcPort, 'POST', '/k', { body: 'v' });
    assert.equal(refused.status, 503);
    assert.match(refused.text, /no leader took the request within 5000 ms; nothing was done/);
    late.start('--bootstrap');
    await eventually('both are voters', async () => {
      const { servers, isReady } = await early.status();
      return isReady && servers.length === 2 && servers.every((server) => server.voteStatus === 'Voter');
    });
    assert.equal((await early.set('k', 'v')).status, 200);
  } finally {
    await Promise.all([late.kill(), early.kill()]);
  }
});

test('a node that was told neither to found nor to join says at once what it waits for, and can still be joined', async () => {
  const [lonely, founder] = [await Node.create('lonely'), await Node.create('founder')];
  lonely.start();
  try {
    await eventually('it says so', () => lonely.output.includes('neither --bootstrap nor --join was given: '));
    assert.match(lonely.output, new RegExp(`a member of a cluster joins it at ${lonely.serfAddress}`));
    founder.start('--bootstrap', '--join', lonely.serfAddress);
    await eventually('it is taken in', async () => (await lonely.status()).isReady);
  } finally {
    await Promise.all([lonely.kill(), founder.kill()]);
  }
});

test('a node that stops before it had a cluster does not claim to have left one', async () => {
  const lonely = await Node.create('lonely');
  lonely.start();
  await eventually('it runs', () => lonely.output.includes('"started"'));
  assert.equal(await lonely.stop(), 0);
  assert.match(lonely.output, /stops; it belonged to no cluster/);
  assert.doesNotMatch(lonely.output, /left the cluster/);
});

test('whoever joins the RPC port is told which port it takes, in one line without a stack', async () => {
  const astray = await Node.create('astray');
  astray.start('--join', `127.0.0.1:${node.rpcPort}`);
  try {
    await eventually('it says so', () => astray.output.includes('nobody answers at'));
    const line = astray.output.split('\n').find((one) => one.includes('nobody answers at')) ?? '';
    assert.match(line, /takes the port of the other's --addr, not its --rpc-port/);
    assert.doesNotMatch(line, /stack|node\.js/);
  } finally {
    await astray.kill();
  }
});

test('a node whose name is taken says so once, as the last line of its log', async () => {
  const twin = await Node.create(node.name);
  twin.start('--join', node.serfAddress);
  assert.equal(await twin.exited(), 1);
  const { level, msg } = JSON.parse(twin.output.trimEnd().split('\n').at(-1)!);
  assert.equal(level, 60);
  assert.equal(msg, `another live node of the cluster is called ${node.name}; give this one another --id`);
  assert.equal(twin.output.split('another live node').length, 2, twin.output);
});

test('a data directory that cannot be one is named with the reason', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'dcache-test-'));
  try {
    const file = join(folder, 'file');
    await writeFile(file, 'not a folder');
    // In /proc nobody can make folders, and the answer is not that one exists, or may not be made.
    for (const [path, reason] of [
      [file, 'it is a file, not a folder'],
      [join(file, 'below'), 'ENOTDIR'],
      ['/proc/dcache-test', ''],
    ] as const) {
      const { code, stderr } = await dcache('--http', '--rpc-port', '0', '--in-memory=false', '--data-dir', path);
      assert.equal(code, 1);
      assert.match(stderr, new RegExp(`^dcache: --data-dir ${path} cannot be used: .*${reason}.*\\n$`));
    }
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('on disk without --data-dir, the temporary folder that is used is named with its danger', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'dcache-test-'));
  try {
    // It belongs to another node, so that the program ends by itself.
    await mkdir(join(folder, 'dcache'));
    await writeFile(join(folder, 'dcache', 'dcache.json'), '{"format":1,"name":"other"}');
    const args = [dcacheBin, '--http', '--id', 'me', '--rpc-port', '0', '--in-memory=false'];
    const { stderr } = await run(process.execPath, args, { env: { TMPDIR: folder } });
    const { level, msg } = JSON.parse(stderr.split('\n')[0]!);
    assert.equal(level, 40);
    assert.ok(
      msg.startsWith(`the log is kept in ${join(folder, 'dcache')}, the default of --data-dir: temporary`),
      msg,
    );
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('the client says in one line what is wrong', async () => {
  const client = (...args: string[]) => run(process.execPath, [clientBin, ...args], { input: 'x' });
  const nobody = await client('--addr', `127.0.0.1:${await freePort()}`, '--key', 'k');
  assert.equal(nobody.code, 5, 'unavailable');
  assert.match(
    nobody.stderr,
    /^dcache-client: no server answers at 127\.0\.0\.1:\d+ \(it refuses connections, ECONNREFUSED\); does a server run there\? --addr takes a server's RPC port .* \[refused\]\n$/,
  );
  const empty = await client('--addr', `127.0.0.1:${node.rpcPort}`, '--key', '');
  assert.equal(empty.code, 1);
  assert.match(empty.stderr, /^dcache-client: the key is empty; a key has 1 to 65536 bytes \[bad-argument\]\n$/);
  const address = await client('--addr', 'nonsense', '--get-servers');
  assert.match(address.stderr, /^dcache-client: --addr is "nonsense"; it takes host:port of a server/);
  assert.match((await client()).stderr, /either --get-servers or --key KEY/);
});

/** Sends text over a bare socket and gives all that comes back until the server ends it. */
function raw(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(node.rpcPort, '127.0.0.1');
    let answer = '';
    socket.setEncoding('latin1').on('data', (part: string) => {
      answer += part;
    });
    socket.on('close', () => resolve(answer));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') reject(error);
    });
    socket.end(Buffer.from(text, 'latin1'));
  });
}
