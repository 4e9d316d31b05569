import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { createConnection } from 'node:net';
import { until } from '@dcache/testing';
import { type Check, Skip } from './check.js';
import { Lab, pass, serfCli } from './lab.js';

/** A key of 32 bytes in base64, the same for the same word. */
export function keyOf(word: string): string {
  return createHash('sha256').update(word).digest('base64');
}

/** A long quiet time: checks 5 and 6. */
export async function checkIdle(check: Check, idleMs = 180_000): Promise<void> {
  await using lab = new Lab();
  const { alpha, bravo, charlie, ts1 } = await lab.pool();
  const agents = [alpha, bravo, charlie];
  await pass(idleMs);
  await check(5, `idle for ${idleMs / 1000} s, nobody suspects us and the pool is healthy`, async () => {
    for (const agent of agents) assert.deepEqual(agent.lines(/Suspect ts1/), []);
    const { out } = await alpha.cli('info', '-format', 'json');
    const info = JSON.parse(out) as { serf: Record<string, string> };
    assert.equal(info.serf['health_score'], '0');
    const stats = await ts1.ask<{ healthScore: number; suspicionsRaised: number }>('stats');
    assert.equal(stats.healthScore, 0);
    assert.equal(stats.suspicionsRaised, 0);
  });
  await check(6, 'push/pulls went both ways without a complaint', async () => {
    for (const agent of agents)
      assert.deepEqual(agent.lines(/\[ERR\]|failed to receive|Failed push\/pull|incompatible/), []);
    const stats = await ts1.ask<{ pushPulls: number; streamsIn: number; streamFaults: number }>('stats');
    assert.ok(stats.pushPulls >= Math.floor(idleMs / 60_000), `we made ${stats.pushPulls}`);
    assert.ok(stats.streamsIn >= 1, 'none came in');
    assert.equal(stats.streamFaults, 0);
    return `${stats.pushPulls} by us, ${stats.streamsIn} by agents`;
  });
}

/** Two members of one name: check 30. */
export async function checkConflict(check: Check): Promise<void> {
  await using lab = new Lab();
  const { alpha, ts1 } = await lab.pool();
  await check(30, 'a second member of our name loses the vote and quits; we stay', async () => {
    const intruder = await lab.agent('ts1', ['-join', alpha.address]);
    await intruder.ended(20_000);
    // The end of a process and the end of its output come in any order.
    await until('its reason in its log', () => /minority in name conflict resolution/.test(intruder.log), 5000);
    assert.equal((await alpha.sees('ts1', 'alive')).addr, ts1.address);
    assert.ok(ts1.isRunning);
  });
}

/** Encryption: the refusal part of check 32, and check 33. */
export async function checkKeys(check: Check): Promise<void> {
  const [first, second] = [keyOf('first'), keyOf('second')];
  await using lab = new Lab({ agentArgs: ['-encrypt', first], peerOptions: { keyring: [first] } });
  const { alpha, bravo, ts1 } = await lab.pool();
  await check(32, 'a plaintext node of ours is refused, and told why', async () => {
    const plain = await lab.peer('plain', { keyring: undefined });
    // The refusal itself comes encrypted, which is all that a node without a key can tell.
    await assert.rejects(plain.join(alpha.address), /Remote state is encrypted and encryption is not configured/);
    await assert.rejects(plain.join(ts1.address), /Remote state is encrypted and encryption is not configured/);
    const outside = await lab.peer('outside', { keyring: [second] });
    await assert.rejects(outside.join(alpha.address));
    assert.equal(await alpha.shows('plain'), undefined);
    assert.equal(await alpha.shows('outside'), undefined);
  });
  await check(33, 'serf keys lists, installs, uses and removes keys on all members', async () => {
    const keys = async (...args: string[]): Promise<string> => {
      const { code, out } = await serfCli(['keys', `-rpc-addr=${alpha.rpc}`, ...args]);
      assert.equal(code, 0, out);
      return out;
    };
    assert.match(await keys('-list'), /\[4\/4\]/);
    await keys('-install', second);
    await keys('-use', second);
    await keys('-remove', first);
    const listed = await keys('-list');
    assert.ok(listed.includes(second) && !listed.includes(first), listed);
    const before = bravo.lines(/Suspect ts1/).length;
    assert.equal((await alpha.cli('query', '-format', 'json', '-node', 'ts1', 'after')).code, 0);
    await until('the query under the new key', () => ts1.events('query', 'after').length > 0);
    await pass(3000);
    assert.equal(bravo.lines(/Suspect ts1/).length, before);
    await bravo.sees('ts1', 'alive');
  });
}

const netns = `
ip link set lo up
ip link add v0 type veth peer name v1 && ip addr add 10.9.8.7/24 dev v0
ip link set v0 up && ip link set v1 up && ip route add default dev v0
`;

/** An agent bound to all addresses, which announces its own in sixteen bytes: check 34. */
export async function checkWideAddress(check: Check): Promise<void> {
  await check(34, 'an address in sixteen bytes stays as it is and makes no conflict', async () => {
    const probe = await run('unshare', ['-rn', 'sh', '-c', `set -e; ${netns} ip addr show v0`]);
    if (probe.code !== 0) throw new Skip(`no network namespace can be made here: ${probe.out.trim().slice(0, 120)}`);
    // Everything runs inside one namespace, whose loopback and addresses nobody outside sees.
    const scenario = new URL('./wide-address.js', import.meta.url).pathname;
    const { code, out } = await run('unshare', [
      '-rn',
      'sh',
      '-c',
      `set -e; ${netns} exec ${process.execPath} ${scenario}`,
    ]);
    assert.equal(code, 0, out);
    return out.trim().split('\n').at(-1);
  });
}

/** Garbage of every kind: check 35. */
export async function checkGarbage(check: Check): Promise<void> {
  await using lab = new Lab();
  const { alpha, ts1 } = await lab.pool();
  await check(35, 'garbage is dropped, and our node stays up', async () => {
    const before = await ts1.ask<{ packetFaults: number }>('stats');
    const port = Number(ts1.address.split(':')[1]);
    const socket = createSocket('udp4');
    const send = (bytes: Uint8Array): Promise<void> =>
      new Promise((resolve) => socket.send(bytes, port, '127.0.0.1', () => resolve()));
    const garbage = [
      Uint8Array.of(12, 1, 2, 3, 4, 0, 0), // checksum that is not
      Uint8Array.of(7, 3, 0, 200, 0, 5, 0, 5, 8, 1), // compound that is cut
      Uint8Array.of(7, 1, 0, 0), // empty part
      Uint8Array.of(99, 1, 2, 3), // no such type
      Uint8Array.of(8, 77, 0x80), // no such Serf message
      Uint8Array.of(9, 0x82, 0xa4, 0x41, 0x6c, 0x67, 0x6f, 7, 0xa3, 0x42, 0x75, 0x66, 0xa1, 0), // unknown algorithm
      Uint8Array.of(4, 0xdf, 0xff, 0xff, 0xff, 0xff), // a map of four thousand million entries
      Uint8Array.of(0xf4, 3, 1, 2, 3, 0), // a label that nobody asked for
      ...Array.from({ length: 200 }, () => randomBytes(64)),
    ];
    for (const bytes of garbage) await send(bytes);
    // A ping for somebody else is not answered; one for us is.
    const answers: Buffer[] = [];
    socket.on('message', (bytes) => answers.push(bytes));
    await send(pingFor('nobody', 1));
    await send(pingFor('ts1', 2));
    await until('the ack', () => answers.length > 0);
    socket.close();
    for (const bytes of [
      randomBytes(500),
      Uint8Array.of(6, 0xdf, 0xff, 0xff, 0xff, 0xff),
      Uint8Array.of(10, 255, 255, 255, 255),
    ])
      await streamOnce(port, bytes);
    const after = await ts1.ask<{ packetFaults: number }>('stats');
    assert.ok(after.packetFaults - before.packetFaults >= 8, `${after.packetFaults - before.packetFaults} faults`);
    await alpha.sees('ts1', 'alive');
    const ours = (await ts1.members()).map((member) => member.name).sort();
    assert.deepEqual(ours, ['alpha', 'bravo', 'charlie', 'ts1']);
    assert.equal(answers.length, 1);
    return `${after.packetFaults - before.packetFaults} packets dropped and counted`;
  });
}

function pingFor(node: string, seqNo: number): Uint8Array {
  const text = (value: string): number[] => [0xa0 | value.length, ...Buffer.from(value)];
  return Uint8Array.from([0, 0x82, ...text('Node'), ...text(node), ...text('SeqNo'), seqNo]);
}

/** Sends bytes over a stream and waits until the other side is done with it. */
function streamOnce(port: number, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: '127.0.0.1', port }, () => socket.end(bytes));
    socket.on('data', () => {});
    socket.on('error', () => {});
    socket.on('close', () => resolve());
  });
}

function run(command: string, args: readonly string[]): Promise<{ code: number; out: string }> {
  return new Promise((resolve) => {
    execFile(command, [...args], { timeout: 120_000 }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : 1, out: `${stdout}${stderr}` }),
    );
  });
}
