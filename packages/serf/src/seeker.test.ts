import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '@dcache/base';
import { HandClock, turn } from '@dcache/testing';
import { Seeker, type SeekerOptions } from './seeker.js';

/** Who knows whom, if gossip works and joins are the only way in: nodes in one pool know each other. */
class World {
  readonly clock: HandClock = new HandClock();
  readonly pools: Map<string, Set<string>> = new Map();
  readonly seekers: Map<string, Seeker> = new Map();
  readonly tries: string[] = [];
  readonly faults: string[] = [];
  /** Joins that get lost on their way. */
  readonly losses: Set<string> = new Set();
  readonly names: Map<string, readonly string[]> = new Map();
  readonly #random = new SeededRandom(1);

  /** A node listens, and asks its peers. */
  start(node: string, peers: readonly string[], more: Partial<SeekerOptions> = {}): Promise<readonly string[]> {
    this.pools.set(node, new Set([node]));
    const seeker = new Seeker({
      addresses: peers,
      resolve: async (address) => this.names.get(address) ?? [address],
      join: (endpoint) => this.#join(node, endpoint),
      isSelf: (endpoint) => endpoint === node,
      isMember: (endpoint) => this.pools.get(node)!.has(endpoint),
      again: true,
      onStop: () => {},
      onFault: (address, fault) => this.faults.push(`${node} ${address}: ${fault}`),
      clock: this.clock,
      random: this.#random,
      ...more,
    });
    this.seekers.set(node, seeker);
    return seeker.start();
  }

  /** A node leaves: nobody listens there, and the others know. */
  leave(node: string): void {
    this.seekers.get(node)!.stop();
    for (const other of this.pools.get(node)!) {
      this.pools.get(other)!.delete(node);
      if (other !== node) this.seekers.get(other)!.lost(node);
    }
    this.pools.delete(node);
  }

  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 100) {
      this.clock.pass(Math.min(100, left));
      await turn();
    }
  }

  poolsOf(): string[] {
    return [...new Set([...this.pools.values()].map((pool) => [...pool].sort().join(' ')))].sort();
  }

  async #join(from: string, to: string): Promise<void> {
    this.tries.push(`${from} ${to}`);
    await turn();
    if (this.losses.delete(`${from} ${to}`)) throw new Error('lost');
    const [one, other] = [this.pools.get(from), this.pools.get(to)];
    if (other === undefined) throw new Error('refused');
    if (one === undefined) return;
    const all = new Set([...one, ...other]);
    for (const node of all) this.pools.set(node, all);
  }
}

function orders<T>(items: readonly T[]): T[][] {
  if (items.length <= 1) return [[...items]];
  return items.flatMap((item, i) => orders(items.toSpliced(i, 1)).map((rest) => [item, ...rest]));
}

const shapes: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  'each knows the one before': { a: [], b: ['a'], c: ['b'], d: ['c'] },
  'all know the first': { a: [], b: ['a'], c: ['a'], d: ['a'] },
  'each knows the next, in a ring': { a: ['b'], b: ['c'], c: ['d'], d: ['a'] },
  'one joins what are two clusters without it': { a: [], b: ['a'], c: [], d: ['b', 'c'] },
  'all know all, themselves among them': Object.fromEntries(
    ['a', 'b', 'c', 'd'].map((node) => [node, ['a', 'b', 'c', 'd']]),
  ),
};

for (const [shape, peers] of Object.entries(shapes))
  test(`nodes that start at once become one cluster in whatever order they listen, whatever first join is lost: ${shape}`, async () => {
    const nodes = Object.keys(peers);
    for (const order of orders(nodes))
      for (const gapMs of [0, 300, 2_500])
        for (const lost of ['', 'abcd', 'b', 'c']) {
          const world = new World();
          for (const node of nodes) for (const peer of lost) world.losses.add(`${node} ${peer}`);
          for (const node of order) {
            void world.start(node, peers[node]!);
            await world.pass(gapMs);
          }
          await world.pass(20_000);
          assert.deepEqual(world.poolsOf(), ['a b c d'], `${order} every ${gapMs} ms, the first joins to ${lost} lost`);
          for (const seeker of world.seekers.values()) seeker.stop();
        }
  });

test('an address is tried at growing intervals until it is reached, and told once', async () => {
  const world = new World();
  assert.deepEqual(await world.start('a', ['b']), ['refused']);
  await world.pass(60_000);
  // 1, 2, 4, 8, 15 s and so on, each shortened by up to half.
  assert.ok(world.tries.length >= 6 && world.tries.length <= 12, `${world.tries.length} tries in a minute`);
  assert.deepEqual(world.faults, ['a b: refused']);
  await world.start('b', []);
  await world.pass(15_000);
  assert.deepEqual(world.poolsOf(), ['a b']);
  const { length } = world.tries;
  await world.pass(60_000);
  assert.equal(world.tries.length, length, 'nobody is asked any more');
});

test('the waits can be others; each fault that is not the one before is told, and so is who is found', async () => {
  const world = new World();
  const found: string[] = [];
  let fault: string | undefined = 'refused';
  const join = async (): Promise<void> => {
    world.tries.push(`at ${world.clock.monotonicMs()}`);
    if (fault !== undefined) throw new Error(fault);
  };
  const onFound = (address: string, who: string): void => void found.push(`${address} ${who}`);
  void world.start('a', ['b', 'a'], { join, firstWaitMs: 200, lastWaitMs: 400, onFound });
  await world.pass(10_000);
  assert.ok(world.tries.length >= 25, `${world.tries.length} tries in 10 s`);
  fault = 'another';
  await world.pass(1_000);
  fault = 'refused';
  await world.pass(1_000);
  assert.deepEqual(world.faults, ['a b: refused', 'a b: another', 'a b: refused']);
  assert.deepEqual(found, ['a self']);
  fault = undefined;
  await world.pass(1_000);
  assert.deepEqual(found, ['a self', 'b other']);
});

test('who stops the search when told of a fault is not asked to wait for another try', async () => {
  const world = new World();
  void world.start('a', ['b'], { onFault: () => world.seekers.get('a')!.stop() });
  await world.pass(60_000);
  assert.deepEqual(world.tries, ['a b']);
});

test('an address whose member has gone is tried again, for it may be back without knowing anybody', async () => {
  const world = new World();
  void world.start('a', []);
  void world.start('b', ['a']);
  void world.start('c', ['b']);
  await world.pass(1_000);
  assert.deepEqual(world.poolsOf(), ['a b c']);
  world.leave('a');
  await world.pass(60_000);
  assert.deepEqual(world.poolsOf(), ['b c']);
  void world.start('a', []);
  await world.pass(15_000);
  assert.deepEqual(world.poolsOf(), ['a b c']);
});

test('an answer of a member that is just leaving does not end the search for it', async () => {
  const world = new World();
  let answers = 0;
  const seeker = new Seeker({
    addresses: ['a'],
    resolve: async (address) => [address],
    join: async () => answers++,
    // Gone for the others, it still answers; then it is back.
    isSelf: () => false,
    isMember: () => answers === 0 || answers > 3,
    again: true,
    onFault: () => {},
    onStop: () => {},
    clock: world.clock,
    random: new SeededRandom(1),
  });
  await seeker.start();
  answers = 1;
  seeker.lost('a');
  await world.pass(60_000);
  assert.equal(answers, 4);
});

test('an address is not tried again where that is not wanted', async () => {
  const world = new World();
  void world.start('a', []);
  await world.start('b', ['a'], { again: false });
  world.leave('a');
  await world.pass(60_000);
  assert.deepEqual(world.tries, ['b a']);
});

test('one address that answers does not wait for one that is silent, which is given up after 2 s and asked again', async () => {
  const world = new World();
  void world.start('a', []);
  let asked = 0;
  const join = async (endpoint: string): Promise<void> => {
    if (endpoint === 'a') return;
    asked++;
    await new Promise(() => {});
  };
  assert.deepEqual(await world.start('b', ['silent', 'a'], { join }), []);
  await world.pass(3_500);
  assert.deepEqual([asked, world.faults], [2, ['b silent: silent did not answer within 2000 ms']]);
  world.seekers.get('b')!.stop();
  await world.pass(20_000);
  assert.equal(asked, 2);
});

test('of a name all nodes are joined; of one node with two families of addresses one is enough', async () => {
  const world = new World();
  world.names.set('all', ['a', 'b']).set('localhost', ['[::1]:1', 'a']);
  void world.start('a', []);
  assert.deepEqual(await world.start('c', ['all']), []);
  await world.pass(2_000);
  void world.start('b', []);
  await world.pass(5_000);
  assert.deepEqual(world.poolsOf(), ['a b c']);
  await world.start('d', ['localhost']);
  await world.pass(60_000);
  assert.equal(world.tries.filter((tried) => tried === 'd [::1]:1').length, 1);
});

test('a member that gossip has told of meanwhile is found without being asked', async () => {
  const world = new World();
  const found: string[] = [];
  void world.start('a', []);
  void world.start('b', ['a'], { onFound: (address) => void found.push(address) });
  await world.pass(1_000);
  void world.start('c', ['a', 'b'], { onFound: (address) => void found.push(address) });
  await world.pass(1_000);
  world.seekers.get('c')!.stop();
  assert.deepEqual(world.faults, []);
  const again = await world.start('d', ['x', 'a'], { isMember: () => true, onFound: (at) => void found.push(at) });
  assert.deepEqual([again, found], [[], ['a', 'a', 'b', 'x', 'a']]);
});

test('a node that knows itself alone has nobody to complain of', async () => {
  const world = new World();
  assert.deepEqual(await world.start('a', ['a']), []);
  assert.deepEqual([world.tries, world.faults], [[], []]);
});
