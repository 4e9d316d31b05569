import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger } from '@dcache/base';
import type { Member } from '@dcache/serf';
import { HandClock } from '@dcache/testing';
import { againMs, firstMs, Waiting } from './waiting.js';

interface Situation {
  bootstrap?: boolean;
  inMemory?: boolean;
  addresses?: string[];
  fault?: string;
  /** Name, status and cluster of the others. */
  pool?: [string, Member['status'], string?, string?][];
  quorumFault?: string;
  cluster?: string;
  isMember?: boolean;
  hasLeader?: boolean;
  isReady?: boolean;
}

function make(situation: Situation) {
  const clock = new HandClock();
  const said: string[] = [];
  const member = (name: string, status: Member['status'], cluster?: string, quorum?: string) => {
    const tags = Object.entries({ cluster, quorum }).filter(([, value]) => value !== undefined);
    return { name, status, tags: new Map(tags) } as unknown as Member;
  };
  const { bootstrap = false, inMemory = true } = situation;
  const waiting = new Waiting({
    options: { id: 'me', bootstrap, inMemory, dataDir: '/d' },
    serf: {
      address: '127.0.0.1:9000',
      members: () => [member('me', 'alive'), ...(situation.pool ?? []).map((one) => member(...one))],
    },
    joiner: {
      addresses: situation.addresses ?? [],
      get fault() {
        return situation.fault;
      },
    },
    cluster: () => situation.cluster,
    isMember: () => situation.isMember ?? false,
    hasLeader: () => situation.hasLeader ?? false,
    isReady: () => situation.isReady ?? false,
    quorumFault: () => situation.quorumFault,
    clock,
    logger: { ...silentLogger, warn: (_: object, message: string) => void said.push(message) },
  });
  waiting.start();
  return { clock, said, waiting };
}

/** What is said after the first while. */
function later(situation: Situation): string {
  const { clock, said } = make(situation);
  said.length = 0;
  clock.pass(firstMs);
  assert.ok(said.length <= 1);
  return said[0] ?? '';
}

test('a node that was told neither to found nor to join says at once what is missing and what it waits for', () => {
  const [line, ...more] = make({}).said;
  assert.match(
    line!,
    /^neither --bootstrap nor --join was given: .* until a member of a cluster joins it at 127\.0\.0\.1:9000/,
  );
  assert.match(line!, /--bootstrap, to join one with --join HOST:PORT/);
  assert.deepEqual(more, []);
  assert.match(
    make({ inMemory: false }).said[0]!,
    /^no cluster is known in --data-dir \/d, and neither --bootstrap nor/,
  );
});

test('a node that founds, joins, or belongs to a cluster already says nothing at once', () => {
  for (const situation of [{ bootstrap: true }, { addresses: ['a:1'] }, { inMemory: false, cluster: 'c' }])
    assert.deepEqual(make(situation).said, []);
});

test('after a while it names what it has and has not seen', () => {
  const addresses = ['a:1'];
  assert.equal(
    later({ addresses, fault: 'a:1: connect ECONNREFUSED' }),
    'not ready after 30 s: it belongs to no cluster; gossip knows no other node, and nobody answers at a:1 (a:1: connect ECONNREFUSED)',
  );
  assert.match(later({}), /gossip knows no other node; give --bootstrap or --join$/);
  assert.match(
    later({
      addresses,
      pool: [
        ['n2', 'alive'],
        ['n3', 'failed'],
      ],
    }),
    /gossip knows n2, n3 \(failed\), and none of them has a cluster: start one of them with --bootstrap$/,
  );
  assert.match(
    later({
      addresses,
      pool: [
        ['n2', 'alive', 'x'],
        ['n3', 'alive', 'y'],
      ],
    }),
    /several clusters: x, y$/,
  );
  assert.match(
    later({ cluster: 'c', isMember: true, pool: [['n2', 'failed', 'c']] }),
    /cluster c has no leader: more than half of its members must run and reach each other; gossip knows n2 \(failed\)$/,
  );
  assert.match(
    later({ addresses, cluster: 'c', pool: [['n2', 'alive', 'c']] }),
    /no leader has taken it into cluster c; /,
  );
  const many = later({ pool: Array.from({ length: 1_000 }, (_, i) => [`n${i}`, 'alive']) });
  assert.ok(many.includes('n9, 990 more') && many.length < 300, many);
});

test('it is said again, rarely, until the node is ready, and then never more', () => {
  const situation: Situation = { addresses: ['a:1'] };
  const { clock, said } = make(situation);
  clock.pass(firstMs - 1);
  assert.equal(said.length, 0);
  clock.pass(1);
  assert.equal(said.length, 1);
  clock.pass(againMs - 1);
  assert.equal(said.length, 1);
  clock.pass(1);
  assert.match(said[1]!, /^not ready after 330 s: /);
  situation.isReady = true;
  clock.pass(againMs);
  assert.equal(said.length, 2);
  assert.equal(clock.pendingTimers, 0);
});

test('a node that only has to catch up says nothing, and one that stops neither', () => {
  assert.equal(later({ cluster: 'c', hasLeader: true }), '');
  const { clock, said, waiting } = make({ addresses: ['a:1'] });
  waiting.stop();
  clock.pass(firstMs + againMs);
  assert.deepEqual(said, []);
  assert.equal(clock.pendingTimers, 0);
});

test('where a majority was started again without its data, that is the cause, on a survivor and on the others', () => {
  const quorumFault = 'cluster c cannot elect';
  assert.equal(later({ cluster: 'c', isMember: true, quorumFault }), 'not ready after 30 s: cluster c cannot elect');
  assert.match(
    later({
      cluster: 'c',
      pool: [
        ['n1', 'alive', 'c'],
        ['n3', 'alive', 'c', 'lost'],
      ],
    }),
    /^not ready after 30 s: cluster c cannot take it in, because half of its members or more .* without their data, as n3 found: .*"Lost quorum"/,
  );
  for (const other of [
    ['n3', 'failed', 'c', 'lost'],
    ['n3', 'alive', 'd', 'lost'],
  ] as const)
    assert.match(
      later({ cluster: 'c', pool: [['n1', 'alive', 'c'], [...other]] }),
      /no leader has taken it into cluster c/,
    );
});
