// `npm start`: three nodes on this machine, for a first look. Ctrl-C stops them all; nothing is left behind but the logs of a node that failed.
// Other ports: `npm start -- --rpc-port 9300 --serf-port 9100` takes 9300 to 9302 and 9100 to 9102.
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { createWriteStream, mkdtempSync, rmSync } from 'node:fs';
import { get } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const bin = join(dirname(fileURLToPath(import.meta.url)), '../packages/server/bin/dcache.js');
const host = '127.0.0.1';
const [rpcPort, serfPort] = firstPorts();
const nodes = [0, 1, 2].map((i) => ({
  name: `node${i + 1}`,
  rpcPort: rpcPort + i,
  serfPort: serfPort + i,
  child: undefined,
}));
const logs = mkdtempSync(join(tmpdir(), 'dcache-start-'));
const formTimeoutMs = 30_000;
const stopTimeoutMs = 20_000;
let isStopping = false;
/** A node failed: its log is to be read after Ctrl-C, too. */
let keepsLogs = false;

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => stop(0));
stopWithParent();

const taken = (
  await Promise.all(nodes.flatMap((node) => [probeTcp(node.rpcPort), probeTcp(node.serfPort), probeUdp(node.serfPort)]))
).filter(Boolean);
if (taken.length > 0) {
  console.error(
    `Cannot start: ${taken.join(', ')} on ${host} ${taken.length === 1 ? 'is' : 'are'} taken by another process.`,
  );
  console.error(
    `Three nodes need TCP ${rpcPort}-${rpcPort + 2} for clients, TCP and UDP ${serfPort}-${serfPort + 2} for Serf. Stop what holds them, or choose others: npm start -- --rpc-port 9300 --serf-port 9100`,
  );
  rmSync(logs, { recursive: true, force: true });
  process.exit(1);
}

console.log('Starting three nodes …');
for (const node of nodes) startNode(node);
const servers = await formed();
if (!servers) {
  if (!isStopping) console.error(`The three nodes were no cluster after ${formTimeoutMs / 1000} s.`);
  keepsLogs ||= !isStopping;
  await stop(1);
} else {
  announce(servers);
}

/** The first of three ports each, as asked for on the command line. */
function firstPorts() {
  try {
    const { values } = parseArgs({
      options: { 'rpc-port': { type: 'string', default: '9200' }, 'serf-port': { type: 'string', default: '9000' } },
    });
    return ['rpc-port', 'serf-port'].map((name) => {
      const port = Number(values[name]);
      if (!Number.isInteger(port) || port < 1 || port > 65_533)
        throw new TypeError(`--${name} is ${values[name]}; it takes the first of three ports, 1 to 65533`);
      return port;
    });
  } catch (error) {
    console.error(`Cannot start: ${error.message}`);
    process.exit(2);
  }
}

/**
 * npm hands SIGINT and SIGTERM on to what it runs: to this process, because of the `exec` in package.json; to a shell
 * between the two they would stay. An npm that is killed hands nothing on, but this process gets another parent then.
 * Only under npm: who runs this file in the background means it to go on without the shell.
 */
function stopWithParent() {
  if (process.env.npm_lifecycle_event !== 'start') return;
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) stop(0);
  }, 500).unref();
}

function startNode(node) {
  const args = [
    '--id',
    node.name,
    '--addr',
    `${host}:${node.serfPort}`,
    '--rpc-port',
    String(node.rpcPort),
    '--http',
    '--grpc',
  ];
  args.push(...(node === nodes[0] ? ['--bootstrap'] : ['--join', `${host}:${nodes[0].serfPort}`]));
  const log = createWriteStream(join(logs, `${node.name}.log`));
  // A group of its own: the terminal's Ctrl-C reaches this process alone, which then stops the nodes in order.
  node.child = spawn(process.execPath, [bin, ...args], { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  node.child.stdout.pipe(log, { end: false });
  node.child.stderr.pipe(log, { end: false });
  node.exited = new Promise((resolve) => node.child.once('exit', resolve));
  node.exited.then(() => {
    if (!isStopping) return tellEnded(node);
  });
}

/** What is left once a node has ended, and whether that still takes writes. */
async function tellEnded(node) {
  // Who was killed, as the page suggests, was killed; who ended by itself has a log worth keeping.
  const isFailed = node.child.exitCode !== null && node.child.exitCode !== 0;
  keepsLogs ||= isFailed;
  const log = `Its log${keepsLogs ? '' : ', until Ctrl-C'}: ${join(logs, `${node.name}.log`)}`;
  const left = nodes.filter(({ child }) => child && child.exitCode === null && child.signalCode === null);
  if (left.length === 0) {
    console.log(`${node.name} has ended, and none is left. Its log: ${join(logs, `${node.name}.log`)}`);
    process.exit(1);
  }
  const names = left.map(({ name }) => name).join(' and ');
  const go = left.length === 1 ? 'goes' : 'go';
  // Who leaves in order is a member no more, and who is dead only until the others have removed it.
  const view = await ask(left[0].rpcPort, '/-/status');
  const voters = view?.servers.filter((server) => server.voteStatus === 'Voter') ?? [];
  const alive = voters.filter((voter) => left.some(({ name }) => name === voter.id));
  if (voters.length === 0) console.log(`${node.name} has ended; ${names} ${go} on. ${log}`);
  else if (alive.length * 2 > voters.length)
    console.log(`${node.name} has ended; ${names} ${go} on, ${alive.length} of ${voters.length} members. ${log}`);
  else
    console.log(
      `${node.name} has ended; ${names}, ${alive.length} of ${voters.length} members, ${left.length === 1 ? 'is' : 'are'} no majority: nothing can be written, and only ?consistency=local still reads. Ctrl-C, and npm start begins anew. ${log}`,
    );
}

/** The servers once every node sees three voters and one leader; undefined when that takes too long. */
async function formed() {
  const deadline = performance.now() + formTimeoutMs;
  while (performance.now() < deadline && !isStopping) {
    const views = await Promise.all(nodes.map((node) => ask(node.rpcPort, '/-/status')));
    const isFormed = views.every(
      (view) =>
        view?.isReady && view.servers.length === 3 && view.servers.every((server) => server.voteStatus === 'Voter'),
    );
    if (isFormed && new Set(views.map((view) => view.leader)).size === 1) return views[0].servers;
    if (nodes.every((node) => node.child.exitCode !== null)) return undefined;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return undefined;
}

function announce(servers) {
  console.log('\nA cluster of three; every node holds all data and takes any request:\n');
  for (const server of servers) {
    const node = nodes.find((one) => one.name === server.id);
    const role = server.isLeader ? 'leader' : 'follower';
    console.log(`  ${server.id}  http://${server.rpcAddr}  ${role.padEnd(8)}  pid ${node.child.pid}`);
  }
  const leader = nodes.find((node) => servers.find((server) => server.isLeader)?.id === node.name);
  const [first, second] = nodes;
  console.log(`
Write on one node, read on another:

  curl -X POST -d 'this is the value' http://localhost:${first.rpcPort}/hello
  curl http://localhost:${second.rpcPort}/hello

Kill the leader and read again; nothing is lost:

  kill -9 ${leader.child.pid}
  curl http://localhost:${nodes.find((node) => node !== leader).rpcPort}/hello

Who is there:

  npx dcache-client --addr localhost:${second.rpcPort} --get-servers

Logs, until Ctrl-C: ${logs}
Ctrl-C stops all three.`);
}

/** Stops all nodes; each leaves the cluster before it ends, and the last just stops. */
async function stop(code) {
  if (isStopping) return;
  isStopping = true;
  console.log('\nStopping …');
  const hard = setTimeout(() => {
    for (const node of nodes) node.child?.kill('SIGKILL');
  }, stopTimeoutMs);
  for (const node of nodes) node.child?.kill('SIGTERM');
  await Promise.all(nodes.map((node) => node.exited));
  clearTimeout(hard);
  if (keepsLogs) console.log(`The logs are kept in ${logs}`);
  else rmSync(logs, { recursive: true, force: true });
  process.exit(code);
}

function ask(port, path) {
  return new Promise((resolve) => {
    const request = get({ host, port, path, timeout: 1000, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (part) => {
        body += part;
      });
      response.on('end', () => {
        try {
          resolve(JSON.parse(body));
        } catch {
          resolve(undefined);
        }
      });
    });
    request.on('error', () => resolve(undefined)).on('timeout', () => request.destroy());
  });
}

function probeTcp(port) {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error) =>
      resolve(error.code === 'EADDRINUSE' ? `TCP port ${port}` : `TCP port ${port} (${error.code})`),
    );
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}

function probeUdp(port) {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    socket.once('error', () => resolve(`UDP port ${port}`));
    socket.bind({ address: host, port, exclusive: true }, () => socket.close(() => resolve(undefined)));
  });
}
