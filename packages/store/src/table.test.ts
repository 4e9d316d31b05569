import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '@dcache/base';
import fc from 'fast-check';
import { Table } from './table.js';

function idsOf(table: Table, hash: number): number[] {
  const ids: number[] = [];
  for (let id = table.first(hash); id !== 0; id = table.next()) ids.push(id);
  return ids.sort((a, b) => a - b);
}

function all(table: Table): [number, number][] {
  const pairs: [number, number][] = [];
  for (let hash = 0; hash < 2 ** 32; ) {
    hash = table.walkShard(hash, 0, (at, id) => {
      pairs.push([at, id]);
      return true;
    });
  }
  return pairs;
}

const hash = fc.oneof(
  fc.nat({ max: 2 ** 32 - 1 }),
  fc.nat({ max: 3 }),
  fc.nat({ max: 20 }).map((low) => 2 ** 32 - 1 - low),
);

test('a table is a set of pairs, however the hashes fall', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(hash, fc.boolean()), { maxLength: 200 }), (steps) => {
      const table = new Table();
      const model = new Map<number, number>();
      steps.forEach(([at, removes], step) => {
        const oldest = [...model].find(([, other]) => other === at) ?? [...model][0];
        if (removes && oldest !== undefined) {
          assert.equal(table.remove(oldest[1], oldest[0]), true);
          assert.equal(table.remove(oldest[1], oldest[0]), false);
          model.delete(oldest[0]);
        } else {
          table.add(at, step + 1);
          model.set(step + 1, at);
        }
      });
      for (const [at] of steps)
        assert.deepEqual(
          idsOf(table, at),
          [...model].filter(([, other]) => other === at).map(([id]) => id),
        );
      assert.deepEqual(
        all(table),
        [...model].map(([id, at]) => [at, id] as [number, number]).sort((a, b) => a[0] - b[0] || a[1] - b[1]),
      );
    }),
  );
});

test('growth to 300,000 ids and back keeps all of them, in 9 to 14 bytes each', () => {
  const random = new SeededRandom(1);
  const table = new Table();
  const hashes = Array.from({ length: 300_000 }, () => random.below(2 ** 32));
  hashes.forEach((at, i) => {
    table.add(at, i + 1);
    if (i > 20_000 && i % 10_000 === 0) {
      const each = table.allocatedBytes / (i + 1);
      assert.ok(each > 9 && each < 14, `${each} bytes each at ${i}`);
    }
  });
  for (let i = 0; i < hashes.length; i += 7) assert.ok(idsOf(table, hashes[i]!).includes(i + 1));
  for (let i = 0; i < hashes.length - 100; i++) assert.ok(table.remove(hashes[i]!, i + 1));
  assert.deepEqual(
    all(table)
      .map(([, id]) => id)
      .sort((a, b) => a - b),
    Array.from({ length: 100 }, (_, i) => hashes.length - 99 + i),
  );
  assert.ok(table.allocatedBytes < 300_000, `${table.allocatedBytes} bytes are left for 100 ids`);
});

test('ten thousand ids of one hash are found, and their shard grows instead of splitting for ever', () => {
  const table = new Table();
  for (let id = 1; id <= 10_000; id++) table.add(0xdeadbeef, id);
  assert.equal(idsOf(table, 0xdeadbeef).length, 10_000);
  assert.ok(table.remove(0xdeadbeef, 5000));
  assert.ok(!idsOf(table, 0xdeadbeef).includes(5000));
  assert.ok(table.allocatedBytes < 1_000_000);
});

test('a walk can stop between two ids of one hash and go on there', () => {
  const table = new Table();
  for (let id = 1; id <= 10; id++) table.add(7, id);
  const seen: number[] = [];
  assert.equal(
    table.walkShard(7, 4, (_, id) => seen.push(id) < 3),
    7,
  );
  assert.deepEqual(seen, [4, 5, 6]);
});
