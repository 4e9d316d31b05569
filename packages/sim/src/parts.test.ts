import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '@dcache/base';
import { type BasicStatus, type Entry, EntryType, Role, type Snapshot, type Status } from '@dcache/raft';
import { type Check, Checkers, Violation } from './checkers.js';
import { LogDisk } from './disk.js';
import { Network } from './network.js';
import { Scheduler } from './scheduler.js';
import { type Command, decodeCommand, encodeCommand, RegisterMachine } from './state-machine.js';
import { TraceLog } from './trace.js';

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

function entry(index: number, term: number, data: Uint8Array = bytes(index)): Entry {
  return { index, term, type: EntryType.normal, data };
}

test('the scheduler works in the order of time, then of asking, and leaves out what was cancelled', () => {
  const scheduler = new Scheduler(new SeededRandom(1));
  const done: string[] = [];
  scheduler.after(5, () => done.push(`c at ${scheduler.nowMs}`));
  scheduler.after(2, () => {
    done.push('a');
    scheduler.after(0, () => done.push('b'));
  });
  scheduler.after(3, () => done.push('never'))();
  scheduler.after(5, () => done.push('d'));
  scheduler.after(9, () => done.push('too late'));
  assert.ok(scheduler.run(6));
  assert.deepEqual(done, ['a', 'b', 'c at 5', 'd']);
  assert.equal(scheduler.nowMs, 6);
  assert.ok(!scheduler.run(20, () => done.length === 5), 'stops when told');
  assert.equal(scheduler.nowMs, 9);
});

test('the scheduler takes a thousand tasks in order whatever order they were asked in', () => {
  const scheduler = new Scheduler(new SeededRandom(2));
  const times: number[] = [];
  for (let i = 0; i < 1000; i++) scheduler.after(scheduler.below(300), () => times.push(scheduler.nowMs));
  scheduler.run(300);
  assert.equal(times.length, 1000);
  assert.deepEqual(
    times,
    times.toSorted((a, b) => a - b),
  );
});

test('the network loses, doubles and reorders as often as it is told, and cuts links one way', () => {
  const scheduler = new Scheduler(new SeededRandom(3));
  const arrived: number[] = [];
  const network = new Network<number>(scheduler, (_from, _to, message) => arrived.push(message));
  for (let i = 0; i < 100; i++) assert.equal(network.send(1, 2, i), 'sent');
  scheduler.run(1000);
  assert.equal(arrived.length, 100);
  arrived.length = 0;
  network.quality = { loss: 0.3, duplication: 0.2, minDelayMs: 1, maxDelayMs: 50, stragglers: 0.1 };
  for (let i = 0; i < 2000; i++) network.send(1, 2, i);
  scheduler.run(3000);
  const distinct = new Set(arrived).size;
  assert.ok(distinct > 1300 && distinct < 1500, `${distinct} of 2000 arrived`);
  assert.ok(arrived.length - distinct > 200, 'some arrived twice');
  assert.notDeepEqual(
    arrived,
    arrived.toSorted((a, b) => a - b),
  );
  network.cut(1, 2);
  assert.equal(network.send(1, 2, 0), 'blocked');
  assert.notEqual(network.send(2, 1, 0), 'blocked');
  network.heal();
  assert.notEqual(network.send(1, 2, 0), 'blocked');
});

test('a message under way when its link is cut is lost', () => {
  const scheduler = new Scheduler(new SeededRandom(4));
  let arrived = 0;
  const network = new Network<string>(scheduler, () => arrived++);
  network.send(1, 2, 'lost');
  network.partition([1], [2, 3]);
  scheduler.run(100);
  assert.equal(arrived, 0);
  assert.ok(network.isCut(3, 1));
  assert.ok(!network.isCut(2, 3));
});

test('a crash keeps what was synced and whole frames from the front of what was not', () => {
  for (let kept = 0; kept <= 2; kept++) {
    const disk = new LogDisk();
    disk.write({ entries: [entry(1, 1), entry(2, 1)], hardState: { term: 1, vote: 2, commit: 0 } });
    disk.sync();
    disk.write({ entries: [entry(2, 2), entry(3, 2)], hardState: { term: 2, vote: 3, commit: 1 } });
    disk.write({ entries: [entry(4, 2)] });
    assert.equal(disk.lastIndex(), 4, 'what is written is read at once');
    assert.equal(disk.durableLastIndex, 2);
    assert.ok(disk.hasDurable(2, 1) && !disk.hasDurable(2, 2));
    disk.crash((count) => {
      assert.equal(count, 2);
      return kept;
    });
    assert.equal(disk.lastIndex(), [2, 3, 4][kept]);
    assert.equal(disk.term(2), kept === 0 ? 1 : 2);
    assert.equal(disk.initialState().hardState.vote, kept === 0 ? 2 : 3);
    assert.equal(disk.lostFrames, 2 - kept);
  }
});

test('a disk compacts, starts again behind a snapshot, and refuses a gap', () => {
  const disk = new LogDisk();
  disk.write({ entries: [1, 2, 3, 4].map((index) => entry(index, 1)) });
  const confState = { voters: [1], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false };
  const snapshot: Snapshot = { metadata: { index: 3, term: 1, confState }, data: bytes(7) };
  disk.write({ ownSnapshot: snapshot, compactTo: 2 });
  assert.deepEqual([disk.firstIndex(), disk.lastIndex(), disk.term(2), disk.term(1)], [3, 4, 1, undefined]);
  assert.equal(disk.entries(2, 4, 1e6), undefined);
  assert.deepEqual(
    disk.entries(3, 5, 0)?.map(({ index }) => index),
    [3],
    'at least one, however small the limit',
  );
  assert.equal(disk.initialState().hardState.commit, 3, 'what was applied is committed');
  assert.throws(() => disk.write({ entries: [entry(9, 1)] }), /gap/);
  const later: Snapshot = { metadata: { index: 20, term: 5, confState }, data: bytes() };
  disk.write({ snapshot: later });
  assert.deepEqual([disk.firstIndex(), disk.lastIndex(), disk.term(20)], [21, 20, 5]);
  disk.wipe();
  assert.equal(disk.lastIndex(), 0);
});

const command: Command = { client: 1, sequence: 1, key: 'x', expected: undefined, value: '5' };

test('a command is applied once however often it is in the log, and a compare fails on another value', () => {
  const machine = new RegisterMachine();
  let index = 0;
  const apply = (each: Command): boolean | undefined =>
    machine.apply(entry(++index, 1, encodeCommand(each)), true)?.written;
  assert.deepEqual(decodeCommand(encodeCommand({ ...command, expected: 'ü' })), { ...command, expected: 'ü' });
  assert.equal(apply(command), true);
  assert.equal(apply({ ...command, client: 2, value: '6' }), true);
  assert.equal(apply(command), true, 'the first outcome again');
  assert.equal(machine.read('x'), '6');
  assert.equal(apply({ ...command, sequence: 2, expected: '5', value: '7' }), false);
  assert.equal(apply({ ...command, sequence: 3, expected: '6', value: '7' }), true);
  assert.deepEqual([machine.read('x'), machine.read('y')], ['7', 'nil']);
});

test('the hash tells states apart, and a saved state goes on as the first would have', () => {
  const [one, two] = [new RegisterMachine(), new RegisterMachine()];
  one.apply(entry(1, 1, encodeCommand(command)), true);
  two.apply(entry(1, 1, encodeCommand({ ...command, value: '6' })), true);
  assert.notEqual(one.hash, two.hash);
  two.restore(one.save());
  const next = entry(2, 1, encodeCommand({ ...command, sequence: 2, expected: '5', value: '7' }));
  assert.deepEqual(two.apply(next, true), one.apply(next, true));
  assert.equal(one.hash, two.hash);
  assert.equal(two.applied, 2);
  two.restore(bytes());
  assert.deepEqual([two.applied, two.read('x')], [0, 'nil']);
});

test('a trace keeps its last lines, and its digest sees every character and every moment', () => {
  const [kept, unkept, other] = [new TraceLog(3), new TraceLog(), new TraceLog()];
  for (let i = 0; i < 10; i++) {
    kept.add(i, `line ${i}`);
    unkept.add(i, `line ${i}`);
    other.add(i + (i === 9 ? 0.001 : 0), `line ${i}`);
  }
  assert.deepEqual(
    kept.lines().map((line) => line.trim()),
    ['7.000 line 7', '8.000 line 8', '9.000 line 9'],
  );
  assert.equal(kept.digest(), unkept.digest());
  assert.notEqual(kept.digest(), other.digest());
  assert.deepEqual(unkept.lines(), []);
});

// The checkers alone, for what no known bug in a run would show.

const status = (fields: Partial<BasicStatus>): BasicStatus => ({
  id: 1,
  leader: 0,
  role: Role.follower,
  term: 1,
  vote: 0,
  commit: 0,
  applied: 0,
  lastIndex: 0,
  leadTransferee: 0,
  ...fields,
});

function watched(id: number): { id: number; disk: LogDisk; status: () => Status } {
  const confState = { voters: [1, 2, 3], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false };
  return { id, disk: new LogDisk(), status: () => ({ ...status({ id }), confState, peers: [] }) };
}

function newCheckers(...nodes: ReturnType<typeof watched>[]): Checkers {
  return new Checkers({ nodes: () => nodes, without: new Set() });
}

function breaks(check: Check, run: () => void): void {
  assert.throws(run, (error) => error instanceof Violation && error.check === check);
}

test('two leaders in one term break election safety; one a term does not', () => {
  const [one, two, three] = [watched(1), watched(2), watched(3)];
  const checkers = newCheckers(one, two, three);
  checkers.observed(one, status({ role: Role.leader, term: 2 }));
  checkers.observed(two, status({ role: Role.leader, term: 3 }));
  assert.equal(checkers.elections, 2);
  breaks('election-safety', () => checkers.observed(three, status({ role: Role.leader, term: 2 })));
});

test('applied, committed and last index in another order, or a term or commit that falls, are found', () => {
  const one = watched(1);
  const checkers = newCheckers(one);
  checkers.observed(one, status({ applied: 1, commit: 2, lastIndex: 3, term: 4 }));
  breaks('order-of-indexes', () => checkers.observed(one, status({ applied: 3, commit: 2, lastIndex: 3, term: 4 })));
  breaks('order-of-indexes', () => checkers.observed(one, status({ applied: 1, commit: 4, lastIndex: 3, term: 4 })));
  breaks('order-of-indexes', () => checkers.observed(one, status({ applied: 1, commit: 1, lastIndex: 3, term: 4 })));
  breaks('order-of-indexes', () => checkers.observed(one, status({ applied: 1, commit: 2, lastIndex: 3, term: 3 })));
  checkers.stopped(1);
  checkers.observed(one, status({ applied: 0, commit: 1, lastIndex: 3, term: 4 }));
});

test('a leader that replaces an entry of its own log is found', () => {
  const one = watched(1);
  const checkers = newCheckers(one);
  one.disk.write({ entries: [entry(1, 1), entry(2, 2)] });
  checkers.observed(one, status({ role: Role.leader, term: 2, lastIndex: 2 }));
  checkers.writing(one, [entry(3, 2)], true);
  breaks('leader-append-only', () => checkers.writing(one, [entry(2, 2)], true));
});

test('one index and term with two contents, or behind two different entries, break log matching', () => {
  const [one, two] = [watched(1), watched(2)];
  const checkers = newCheckers(one, two);
  checkers.writing(one, [entry(1, 1), entry(2, 2)], false);
  checkers.writing(two, [entry(1, 1), entry(2, 2)], false);
  breaks('log-matching', () => checkers.writing(two, [entry(1, 1, bytes(9))], false));
  breaks('log-matching', () => checkers.writing(two, [entry(1, 2), entry(2, 2)], false));
});

test('an index applied twice or passed over is found, and so is another state at an index', () => {
  const checkers = newCheckers();
  const machine = new RegisterMachine();
  checkers.applying(1, 0, entry(1, 1));
  breaks('state-machine-safety', () => checkers.applying(1, 1, entry(1, 1)));
  breaks('state-machine-safety', () => checkers.applying(1, 1, entry(3, 1)));
  machine.apply(entry(1, 1), false);
  checkers.applied(1, machine);
  machine.hash++;
  breaks('state-machine-safety', () => checkers.applied(2, machine));
});

test('a leader may commit only what a majority has on disk', () => {
  const nodes = [watched(1), watched(2), watched(3)];
  const checkers = newCheckers(...nodes);
  const commit = (index: number): void =>
    checkers.observed(nodes[0]!, status({ role: Role.leader, term: 1, commit: index, lastIndex: 2 }));
  commit(0);
  for (const node of nodes.slice(0, 2)) node.disk.write({ entries: [entry(1, 1)] });
  nodes[0]!.disk.sync();
  breaks('committed-on-a-quorum', () => commit(1));
  checkers.started(1, status({ term: 1 }));
  nodes[1]!.disk.sync();
  commit(1);
  assert.throws(() => commit(2), Violation);
});
