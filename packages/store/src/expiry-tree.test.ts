import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '@dcache/base';
import { Epochs } from './epochs.js';
import { ExpiryTree } from './expiry-tree.js';

const never = Number.POSITIVE_INFINITY;
const day = 86_400_000;

/** Takes out everything, in order. */
function drain(tree: ExpiryTree): [id: number, timeMs: number][] {
  const order: [number, number][] = [];
  for (let id = tree.first; id !== 0; id = tree.first) {
    order.push([id, tree.firstMs]);
    tree.set(id, never);
    assert.notEqual(tree.first, id, 'what was taken away is not there any more');
  }
  return order;
}

function sorted(times: ReadonlyMap<number, number>, rank: (id: number) => number): [number, number][] {
  return [...times].sort((a, b) => a[1] - b[1] || rank(a[0]) - rank(b[0]));
}

test('entries leave by time and then by the given order, whatever was set, changed and taken away before', () => {
  const random = new SeededRandom(9);
  // A second order that has nothing to do with the ids, and changes with each write, as revisions do.
  const ranks = new Map<number, number>();
  const rank = (id: number): number => ranks.get(id)!;
  const tree = new ExpiryTree(new Epochs(), (a, b) => rank(a) < rank(b));
  const model = new Map<number, number>();
  let written = 0;
  const bands = [() => random.below(5), () => 1e12 + random.below(1000), () => random.below(2 ** 53)];
  for (let step = 0; step < 60_000; step++) {
    // Dense ids and a few far away, so that the tree has all heights.
    const id = random.below(50) === 0 ? 1 + random.below(40) * 100_003 : 1 + random.below(3000);
    const timeMs = random.below(3) === 0 ? never : bands[random.below(3)]!();
    ranks.set(id, (++written * 7919) % 65_537);
    tree.set(id, timeMs);
    if (timeMs === never) model.delete(id);
    else model.set(id, timeMs);
    assert.equal(tree.timeMs(id), timeMs);
    if (step % 1000 !== 0) continue;
    const [first] = sorted(model, rank);
    assert.deepEqual([tree.first, tree.firstMs], first ?? [0, never]);
  }
  assert.equal(tree.size, model.size);
  assert.deepEqual(drain(tree), sorted(model, rank));
  assert.deepEqual([tree.size, tree.firstMs], [0, never]);
});

test('entries of one time leave in the given order, also when it changes while they wait', () => {
  const revisions = new Uint32Array(5001);
  const tree = new ExpiryTree(new Epochs(), (a, b) => revisions[a]! < revisions[b]!);
  for (let id = 1; id <= 5000; id++) {
    revisions[id] = 10_000 - id;
    tree.set(id, 77);
  }
  assert.equal(tree.first, 5000);
  for (let id = 5000; id > 2500; id--) {
    revisions[id] = 20_000 + id;
    tree.set(id, 77);
  }
  const order = drain(tree).map(([id]) => id);
  const expected = [...order].sort((a, b) => revisions[a]! - revisions[b]!);
  assert.deepEqual(order, expected);
  assert.deepEqual([order[0], order[2499], order[2500], order[4999]], [2500, 1, 2501, 5000]);
});

test('times take four bytes an entry while they lie within days, and are exact however far apart', () => {
  const ids = 64 * 1024;
  const filled = (timeOf: (id: number) => number): ExpiryTree => {
    const tree = new ExpiryTree(new Epochs(), (a, b) => a < b);
    for (let id = 1; id <= ids; id++) tree.set(id, timeOf(id));
    for (let id = 1; id <= ids; id++) assert.equal(tree.timeMs(id), timeOf(id));
    return tree;
  };
  const near = filled((id) => 1e12 + ((id * 7919) % (20 * day)));
  assert.ok(near.allocatedBytes / ids < 4.7, `${near.allocatedBytes / ids} bytes an entry`);
  const far = filled((id) => (id % 2 === 0 ? 2 ** 53 - id : id));
  assert.ok(far.allocatedBytes / ids < 8.7, `${far.allocatedBytes / ids} bytes an entry`);
  // Times that move on by years, as they do under overwriting, stay narrow; each page finds a new base on the way.
  for (let round = 1; round < 300; round++)
    for (let id = 1; id <= ids; id += 997) near.set(id, 1e12 + round * 10 * day + id);
  for (let id = 1; id <= ids; id++) if (id % 997 !== 1) near.set(id, 1e12 + 2999 * day + id);
  for (let id = 1; id <= ids; id++)
    assert.equal(near.timeMs(id), id % 997 === 1 ? 1e12 + 2990 * day + id : 1e12 + 2999 * day + id);
  for (let id = 1; id <= ids; id++) far.set(id, never);
  for (let id = 1; id <= ids; id++) far.set(id, 5e11 + id);
  assert.ok(far.allocatedBytes / ids < 4.7, 'a page that was wide and got empty is narrow again');
});

test('a time at the edge of what its page can tell is exact, and one entry that moves on by years stays narrow', () => {
  const tree = new ExpiryTree(new Epochs(), (a, b) => a < b);
  tree.set(1, 1e12);
  // The page's base lies half the range below its first time; this one is at the range's very end.
  const edge = 1e12 - Math.floor(0xffff_ffff / 2) + 0xffff_ffff;
  for (const timeMs of [edge - 1, edge, edge + 1]) {
    tree.set(2, timeMs);
    assert.deepEqual([tree.timeMs(1), tree.timeMs(2)], [1e12, timeMs]);
  }
  tree.set(2, never);
  const narrow = tree.allocatedBytes;
  for (const timeMs of [3, 2 ** 52, 7e12, 0]) {
    tree.set(1, timeMs);
    assert.deepEqual([tree.timeMs(1), tree.allocatedBytes], [timeMs, narrow]);
  }
});

test('a view keeps the times that were there, whatever is set later', () => {
  const epochs = new Epochs();
  const tree = new ExpiryTree(epochs, (a, b) => a < b);
  for (let id = 1; id <= 3000; id++) tree.set(id, id);
  const view = tree.view();
  const epoch = epochs.open();
  for (let id = 1; id <= 3000; id++) tree.set(id, id % 3 === 0 ? never : id % 3 === 1 ? 2 ** 50 : id + 5);
  for (let id = 1; id <= 3000; id++) assert.equal(view(id), id);
  epochs.close(epoch);
  assert.equal(tree.timeMs(4), 2 ** 50);
});

test('a change compares at most 32 entries of one time a level', () => {
  let compared = 0;
  const tree = new ExpiryTree(new Epochs(), (a, b) => {
    compared++;
    return a < b;
  });
  const ids = 100_000;
  for (let id = ids; id >= 1; id--) tree.set(id, 5);
  let most = 0;
  for (let left = ids; left > 0; left--) {
    compared = 0;
    tree.set(tree.first, never);
    most = Math.max(most, compared);
  }
  assert.equal(tree.first, 0);
  assert.ok(most <= 4 * 32, `${most} comparisons for one of ${ids}`);
});
