import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom, utf8 } from '@dcache/base';
import { StoreError } from './errors.js';
import { encodeFrame, FrameKind } from './snapshot-format.js';
import { Store } from './store.js';
import { applyToStore, randomOperation } from './testing/operation.js';

function filled(operations: number, seed = 1, eviction: 'sieve' | 's3fifo' = 's3fifo'): Store {
  const store = new Store({ eviction, maxBytes: 200_000, segmentBytes: 4096 });
  const random = new SeededRandom(seed);
  for (let at = 1; at <= operations; at++) applyToStore(store, randomOperation(random, 1000, 200_000), at);
  return store;
}

function bytesOf(chunks: Iterable<Uint8Array>): Buffer {
  return Buffer.concat([...chunks]);
}

function restore(store: Store, bytes: Uint8Array): void {
  const restorer = store.restore();
  restorer.write(bytes);
  restorer.finish();
}

const isCorrupt = (error: unknown): boolean => error instanceof StoreError && error.code === 'corrupt-snapshot';

test('a snapshot is the state of its call, however much is written between its chunks', () => {
  const store = filled(3000);
  store.set(utf8('large'), new Uint8Array(90_000).fill(5), { revision: 3001 });
  store.set(utf8('larger'), new Uint8Array(70_000).fill(6), { revision: 3002 });
  const random = new SeededRandom(4);
  const expected = bytesOf(store.snapshot().chunks());
  const first = store.snapshot().chunks();
  const open = [first];
  const parts: Uint8Array[][] = [[]];
  const wanted = [expected];
  for (let at = 3003; at < 12_000; at++) {
    applyToStore(store, randomOperation(random, 1000, 200_000), at);
    if (at === 5000) {
      wanted.push(bytesOf(store.snapshot().chunks()));
      open.push(store.snapshot().chunks());
      parts.push([]);
    }
    if (at % 900 === 0)
      open.forEach((chunks, i) => {
        const next = chunks.next();
        if (next.done !== true) parts[i]!.push(next.value);
      });
  }
  open.forEach((chunks, i) => {
    parts[i]!.push(...chunks);
    assert.ok(bytesOf(parts[i]!).equals(wanted[i]!), `snapshot ${i}`);
  });
});

test('an open snapshot does not see a value overwritten by one of the same length, nor a segment used again', () => {
  const store = new Store({ segmentBytes: 4096 });
  const fill = (revision: number): void => {
    for (let i = 0; i < 8; i++) store.set(new Uint8Array([i]), new Uint8Array(100).fill(revision + i), { revision });
  };
  fill(1);
  const expected = bytesOf(store.snapshot().chunks());
  const overwritten = store.snapshot();
  fill(20);
  assert.ok(bytesOf(overwritten.chunks()).equals(expected));
});

test('an open snapshot does not see a segment that was emptied and is filled again', () => {
  const store = new Store({ segmentBytes: 4096 });
  for (let i = 0; i < 8; i++) store.set(new Uint8Array([i]), new Uint8Array(100).fill(i), { revision: i });
  const expected = bytesOf(store.snapshot().chunks());
  const snapshot = store.snapshot();
  for (let i = 0; i < 8; i++) store.delete(new Uint8Array([i]));
  for (let i = 0; i < 8; i++) store.set(new Uint8Array([i]), new Uint8Array(100).fill(99), { revision: i + 10 });
  assert.ok(bytesOf(snapshot.chunks()).equals(expected));
});

test('every cut into chunks restores to the same state', () => {
  const store = filled(2000);
  const bytes = bytesOf(store.snapshot().chunks());
  const random = new SeededRandom(8);
  for (const most of [1, 7, 5000]) {
    const copy = new Store();
    const restorer = copy.restore();
    for (let at = 0; at < bytes.length; ) {
      const length = 1 + random.below(most);
      restorer.write(bytes.subarray(at, at + length));
      at += length;
    }
    assert.notEqual(copy.stateHash(), store.stateHash(), 'nothing is replaced before finish()');
    restorer.finish();
    assert.equal(copy.stateHash(), store.stateHash());
  }
});

test('values of all lengths around the limit of a part come back', () => {
  const store = new Store();
  const lengths = [0, 1, 65_535, 65_536, 65_537, 262_143, 262_144, 262_145, 700_000];
  lengths.forEach((length, i) => {
    const value = new Uint8Array(length).map((_, at) => at * (i + 3));
    store.set(new Uint8Array([i]), value, { revision: i + 1, flags: i });
  });
  const copy = new Store();
  restore(copy, bytesOf(store.snapshot().chunks()));
  lengths.forEach((_, i) => {
    assert.deepEqual(copy.get(new Uint8Array([i])), store.get(new Uint8Array([i])));
  });
  for (let i = 0; i < 6000; i++) store.set(new Uint8Array([9, i, i >> 8]), new Uint8Array(100), { revision: i + 100 });
  for (const chunk of store.snapshot().chunks()) assert.ok(chunk.length < 400_000, `a chunk has ${chunk.length} bytes`);
});

test('a snapshot with any one bit flipped, or cut short anywhere, is refused and changes nothing', () => {
  const bytes = bytesOf(filled(60, 3).snapshot().chunks());
  const store = filled(100, 5);
  const before = store.stateHash();
  for (let at = 0; at < bytes.length; at++) {
    const broken = Buffer.from(bytes);
    broken[at]! ^= 1 << (at % 8);
    assert.throws(() => restore(store, broken), isCorrupt, `bit ${at % 8} of byte ${at}`);
    assert.throws(() => restore(store, bytes.subarray(0, at)), isCorrupt, `cut at ${at}`);
  }
  assert.throws(() => restore(store, Buffer.concat([bytes, bytes])), isCorrupt);
  assert.throws(() => restore(store, Buffer.concat([bytes, new Uint8Array(3)])), isCorrupt);
  assert.equal(store.stateHash(), before);
});

test('frames with right checksums and wrong content are refused: random payloads, kinds and orders', () => {
  const frames: [FrameKind, Uint8Array][] = [];
  let kind: FrameKind = FrameKind.header;
  const bytes = bytesOf(filled(80, 3).snapshot().chunks());
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at);
    kind = bytes[at + 4] as FrameKind;
    frames.push([kind, bytes.subarray(at + 5, at + 5 + length)]);
    at += length + 9;
  }
  const store = new Store();
  store.set(utf8('kept'), utf8('value'), { revision: 1 });
  const before = store.stateHash();
  const random = new SeededRandom(6);
  for (let run = 0; run < 3000; run++) {
    const damaged = frames.map(([kindOf, payload]) => [kindOf, Uint8Array.from(payload)] as [FrameKind, Uint8Array]);
    const which = random.below(damaged.length);
    const [, payload] = damaged[which]!;
    const how = random.below(5);
    if (how === 0) damaged.splice(which, 1);
    else if (how === 1) damaged.splice(random.below(damaged.length + 1), 0, damaged[which]!);
    else if (how === 2) damaged[which]![0] = (1 + ((damaged[which]![0] + random.below(6)) % 7)) as FrameKind;
    else if (how === 3) damaged[which]![1] = payload.subarray(0, random.below(payload.length));
    else payload[random.below(payload.length)]! ^= 1 << random.below(8);
    const whole = Buffer.concat(damaged.map(([kindOf, content]) => encodeFrame(kindOf, content)));
    try {
      restore(store, whole);
    } catch (error) {
      assert.ok(error instanceof StoreError, `run ${run}: ${String(error)}`);
      assert.equal(store.stateHash(), before);
      continue;
    }
    assert.fail(`run ${run} was taken: damage ${how} to frame ${which}`);
  }
});

test('an entry that no store would write is refused for what it is', () => {
  const entry = (bits: number, value = [1, 0x6b, 0]): Uint8Array => new Uint8Array([bits, 1, ...value]);
  const header = (policy: number, count: number): Uint8Array =>
    encodeFrame(FrameKind.header, new Uint8Array([0x64, 0x63, 0x73, 0x74, 1, policy, 90, 9, 9, 0, count, 0]));
  const write = (policy: number, ...entries: Uint8Array[]): void => {
    const frames = entries.map((bytes) => encodeFrame(FrameKind.entries, bytes));
    new Store().restore().write(Buffer.concat([header(policy, entries.length), ...frames]));
  };
  write(2, entry(1));
  assert.throws(() => write(2, entry(0), entry(0)), /a key comes twice/);
  assert.throws(() => write(2, entry(2)), /counts 2 touches/);
  assert.throws(() => write(2, entry(4)), /in no queue/);
  assert.throws(() => write(2, entry(0x80)), /has the bits 0x80/);
  assert.throws(() => write(2, entry(0, [10, ...new Uint8Array(10), 0])), /a key of 10 bytes/);
  assert.throws(() => write(2, entry(0, [1, 0x6b, 10, ...new Uint8Array(10)])), /a value of 10/);
  assert.throws(() => write(2, entry(0x40, [1, 0x6b, 9]), entry(0)), /a value ends in the middle/);
  const tooLong = Buffer.concat([
    header(2, 1),
    encodeFrame(FrameKind.entries, entry(0x40, [1, 0x6b, 9])),
    encodeFrame(FrameKind.part, new Uint8Array(10)),
  ]);
  assert.throws(() => new Store().restore().write(tooLong), /where none is due/);
  assert.throws(() => write(2, Buffer.concat([entry(0x40, [1, 0x6b, 9]), entry(0)])), /whose value has not come/);
});

test('a frame that claims more than a mebibyte is refused before memory is taken for it', () => {
  const restorer = new Store().restore();
  assert.throws(() => restorer.write(new Uint8Array([0xff, 0xff, 0xff, 0xff, 1])), isCorrupt);
  assert.throws(() => restorer.finish(), { code: 'closed' });
});

test('a snapshot of a newer format or policy is told apart from a damaged one', () => {
  const header = (version: number, policy: number): Uint8Array =>
    encodeFrame(FrameKind.header, new Uint8Array([0x64, 0x63, 0x73, 0x74, version, policy, 0, 0, 0, 0, 0, 0]));
  const unsupported = { code: 'unsupported-snapshot' };
  assert.throws(() => restore(new Store(), header(2, 0)), unsupported);
  assert.throws(() => restore(new Store(), header(1, 9)), unsupported);
});

test('a snapshot gives its chunks once, and none after close; both ends may be called twice', () => {
  const store = filled(100);
  const snapshot = store.snapshot();
  assert.ok([...snapshot.chunks()].length > 0);
  assert.throws(() => snapshot.chunks().next(), { code: 'closed' });
  snapshot.close();
  const closed = store.snapshot();
  const chunks = closed.chunks();
  chunks.next();
  closed.close();
  closed.close();
  assert.throws(() => chunks.next(), { code: 'closed' });
  const restorer = store.restore();
  restorer.abort();
  assert.throws(() => restorer.write(new Uint8Array(1)), { code: 'closed' });
});

test('the limits, the policy and the log time of a snapshot replace those of the store', () => {
  const source = new Store({ eviction: 's3fifo', maxBytes: 1000, maxKeyBytes: 5, maxValueBytes: 6 });
  source.advance(77);
  const copy = new Store();
  restore(copy, bytesOf(source.snapshot().chunks()));
  assert.equal(copy.nowMs, 77);
  assert.equal(copy.stats().maxBytes, 1000);
  assert.equal(copy.set(new Uint8Array(6), new Uint8Array(), { revision: 1 }), 'too-large');
  assert.equal(copy.set(new Uint8Array(5), new Uint8Array(7), { revision: 1 }), 'too-large');
  assert.equal(copy.stateHash(), source.stateHash());
});

test('the bytes of version 1', () => {
  const store = new Store({ eviction: 'sieve', maxBytes: 500, maxKeyBytes: 10, maxValueBytes: 20 });
  store.advance(3);
  store.set(utf8('k'), utf8('v'), { revision: 300, expiresAtMs: 9, flags: 1 });
  store.touch(utf8('k'));
  const bytes = bytesOf(store.snapshot().chunks()).toString('hex');
  // The state hash is part of the format too: replicas of two versions compare theirs.
  const stateHash = Buffer.from(bytes.slice(-40, -8), 'hex').toString();
  assert.equal(stateHash, 'e6b59270c9cebf6e');
  assert.equal(
    bytes,
    '0000000d' +
      '01' +
      '64637374' +
      '01' +
      '02' +
      'f403' +
      '0a' +
      '14' +
      '03' +
      '01' +
      '00' +
      '883dafba' +
      '00000009' +
      '02' +
      '31' +
      'ac02' +
      '09' +
      '01' +
      '016b' +
      '01' +
      '76' +
      'f26451a4' +
      '00000011' +
      '05' +
      '10' +
      Buffer.from(stateHash).toString('hex') +
      'c614eeae',
  );
});
