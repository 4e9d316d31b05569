import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { freePort, until } from '@dcache/testing';

const root = fileURLToPath(new URL('../../../', import.meta.url));

/** A child that is told lines and answers lines. */
class Talker {
  readonly child: ChildProcess;
  readonly #lines: string[] = [];
  #waiting: { matches: RegExp; resolve: (line: string) => void }[] = [];
  readonly exited: Promise<void>;

  constructor(args: readonly string[]) {
    this.child = spawn(process.execPath, args, { cwd: root, stdio: ['pipe', 'pipe', 'inherit'] });
    this.exited = new Promise((resolve) => this.child.once('exit', () => resolve()));
    createInterface({ input: this.child.stdout! }).on('line', (line) => {
      this.#lines.push(line);
      this.#waiting = this.#waiting.filter(({ matches, resolve }) => {
        if (!matches.test(line)) return true;
        resolve(line);
        return false;
      });
    });
  }

  /** The next line from now on that matches. */
  line(matches: RegExp): Promise<string> {
    return new Promise((resolve) => this.#waiting.push({ matches, resolve }));
  }

  /** A line that matches, come already or yet to come. */
  ever(matches: RegExp): Promise<string> {
    const come = this.#lines.find((line) => matches.test(line));
    return come === undefined ? this.line(matches) : Promise.resolve(come);
  }

  say(text: string): void {
    this.child.stdin!.write(`${text}\n`);
  }

  ask(text: string, matches: RegExp): Promise<string> {
    const answer = this.line(matches);
    this.say(text);
    return answer;
  }

  /** Asks until the answer is this. */
  async until(text: string, wanted: string): Promise<void> {
    const any = /^(?!.* joined$).*$/;
    await until(`${text} gives ${wanted}`, async () => (await this.ask(text, any)) === wanted);
  }
}

test('the example of three servers works as its README says', { timeout: 120_000 }, async () => {
  // The example takes the three after this.
  const base = (await freePort({ count: 3 })) - 1;
  const servers: Talker[] = [];
  for (const number of [1, 2, 3]) {
    const server = new Talker(['examples/bcache/server.mjs', `${number}`, '127.0.0.1', `${base}`]);
    servers.push(server);
    await server.ever(/listens/);
  }
  const [one, two, three] = servers as [Talker, Talker, Talker];
  try {
    for (const server of servers) await server.until('members', 'server1 server2 server3');
    assert.equal(await one.ask('set user:1 Ada 1h', /^ok$/), 'ok');
    await three.until('get user:1', 'Ada');
    assert.match(await two.ask('fill user:2', /from the database$/), /^user:2 from the database$/);
    await one.until('get user:2', 'user:2 from the database');
    await three.ask('delete user:1', /^deleted/);
    await one.until('get user:1', '(none)');
  } finally {
    for (const server of servers) server.child.kill('SIGKILL');
    await Promise.all(servers.map((server) => server.exited));
  }
});

test('servers of the example that start in the same instant find each other, whoever listens first', {
  timeout: 120_000,
}, async () => {
  // The example takes the three after this.
  const base = (await freePort({ count: 3 })) - 1;
  const servers = [3, 2, 1].map(
    (number) => new Talker(['examples/bcache/server.mjs', `${number}`, '127.0.0.1', `${base}`]),
  );
  try {
    await Promise.all(servers.map((server) => server.ever(/listens/)));
    for (const server of servers) await server.until('members', 'server1 server2 server3');
    // The one that knows nobody stops and starts again.
    const first = servers.pop()!;
    first.say('quit');
    await first.exited;
    await servers[0]!.until('members', 'server2 server3');
    servers.push(new Talker(['examples/bcache/server.mjs', '1', '127.0.0.1', `${base}`]));
    for (const server of servers) await server.until('members', 'server1 server2 server3');
  } finally {
    for (const server of servers) server.child.kill('SIGKILL');
    await Promise.all(servers.map((server) => server.exited));
  }
});

test('a server of the example says in one line why it does not start, and how a command is used', {
  timeout: 60_000,
}, async () => {
  const base = (await freePort()) - 1;
  const args = ['examples/bcache/server.mjs', '1', '127.0.0.1', `${base}`];
  const server = new Talker(args);
  try {
    await server.ever(/listens/);
    const fails = async (...given: string[]): Promise<[number | string, string]> => {
      const outcome = await promisify(execFile)(process.execPath, given, { cwd: root }).catch((error) => error);
      return [outcome.code, outcome.stderr.trimEnd()];
    };
    const [code, said] = await fails(...args);
    assert.equal(code, 1);
    assert.match(said, new RegExp(`^.*address-in-use.*127\\.0\\.0\\.1:${base + 1}.*$`));
    assert.deepEqual((await fails('examples/bcache/server.mjs', 'one'))[0], 2);
    for (const wrong of ['set', 'set a', 'set a b c d', 'get', 'fill', 'delete a b', 'members x'])
      assert.match(await server.ask(wrong, /.*/), new RegExp(`^usage: ${wrong.split(' ')[0]}`));
    assert.match(await server.ask('constructor', /.*/), /^commands: /);
    assert.match(await server.ask('set a b soon', /.*/), /^error: ttl takes .*"soon"/);
    assert.equal(await server.ask('get a', /.*/), '(none)');
  } finally {
    server.child.kill('SIGKILL');
    await server.exited;
  }
});

test('eight processes, each killed and started again, one at a time and under load, end equal', {
  timeout: 180_000,
}, async () => {
  const worker = fileURLToPath(new URL('./testing/worker.js', import.meta.url));
  const names = Array.from({ length: 8 }, (_, i) => `w${i}`);
  const workers = new Map<string, Talker>();
  const addresses = new Map<string, string>();
  const start = async (name: string): Promise<void> => {
    const peers = [...addresses].filter(([other]) => other !== name).map(([, address]) => address);
    // At its old address: a member of the same name elsewhere would be another one until the first is known to be dead.
    const talker = new Talker([worker, name, addresses.get(name) ?? '127.0.0.1:0', ...peers]);
    workers.set(name, talker);
    addresses.set(name, (await talker.ever(/^address /)).slice(8));
  };
  try {
    for (const name of names) await start(name);
    for (const talker of workers.values()) talker.say('load');
    for (const name of names) {
      const talker = workers.get(name)!;
      talker.child.kill('SIGKILL');
      await talker.exited;
      await start(name);
      workers.get(name)!.say('load');
    }
    const stops = [...workers.values()].map((talker) => talker.ask('stop', /^stopped /));
    const writes = (await Promise.all(stops)).map((line) => Number(line.split(' ')[1]));
    assert.ok(
      writes.every((count) => count > 0),
      `every worker wrote: ${writes}`,
    );
    const sum = await until('all workers hold the same', async () => {
      const sums = await Promise.all([...workers.values()].map((talker) => talker.ask('sum', /^sum /)));
      return new Set(sums).size === 1 ? sums[0]! : undefined;
    });
    assert.ok(Number(sum.split(' ')[1]) > 100, sum);
  } finally {
    for (const talker of workers.values()) talker.child.kill('SIGKILL');
    await Promise.all([...workers.values()].map((talker) => talker.exited));
  }
});
