import type { Replica } from 'bcache';
import { type SimNode, World } from './world.js';

/** What a run did, and how it differs from what it should have come to; no faults is a pass. */
export interface Outcome {
  readonly seed: number;
  readonly faults: readonly string[];
  readonly keys: number;
  readonly writes: number;
  readonly messages: number;
  readonly pulls: number;
  readonly states: number;
  readonly refused: number;
  readonly restamped: number;
}

const faultsEndMs = 60_000;
const endMs = 110_000;
const deletionDelayMs = 12_000;
const keys = 40;
const spaces = ['', 'users'];
const tags = ['red', 'blue'];
/** Keys set only before this time... */
const doomedSetMs = 8_000;
/** ...and deleted after this one: far enough behind that every clock agrees which came last. */
const doomedDeleteMs = 20_000;
const doomed = ['doomed-0', 'doomed-1', 'doomed-2', 'doomed-3'];

/**
 * Twenty nodes write, delete, clear and invalidate for a minute while the network and the clocks misbehave and nodes
 * pause, crash and return; then all heals. In the end every node holds the same, and what was deleted is gone.
 */
export function runStory(seed: number, nodes = 20): Outcome {
  const world = new World({
    seed,
    nodes,
    deletionDelayMs,
    loss: [0, 0.02, 0.1, 0.2][seed % 4]!,
    duplication: 0.05,
    delayMs: [5, 50, 400][seed % 3]!,
    skewMs: [0, 200, 1500, 4000][(seed >> 2) % 4]!,
  });
  const random = world.random;
  let writes = 0;

  const pick = (): SimNode => world.nodes[random.below(world.nodes.length)]!;
  const writeLoop = (): void => {
    if (world.nowMs >= faultsEndMs) return;
    writes++;
    world.act(pick(), (replica) => write(replica, random.below(100), random.below(1e9)));
    world.after(random.next() * 120, writeLoop);
  };
  const write = (replica: Replica, dice: number, value: number): void => {
    const space = replica.store.space(spaces[random.below(spaces.length)]!);
    const key = `k${random.below(keys)}`;
    if (dice < 60) replica.set(space, key, { value }, { ttlMs: Number.POSITIVE_INFINITY });
    else if (dice < 68) replica.set(space, key, { value }, { ttlMs: 4000 });
    else if (dice < 76) replica.set(space, key, { value }, { ttlMs: Number.POSITIVE_INFINITY, tags: [pickTag()] });
    else if (dice < 94) replica.delete(space, key);
    else if (dice < 97) replica.invalidate(space, pickTag());
    else if (dice < 98) replica.clear(space);
    else {
      const startedAt = replica.replicator.stamp();
      replica.fill(space, key, { value }, { ttlMs: Number.POSITIVE_INFINITY }, startedAt, 5);
    }
  };
  const pickTag = (): string => tags[random.below(tags.length)]!;

  for (const key of doomed) {
    const deleter = pick();
    for (let i = 0; i < 5; i++)
      world.at(random.next() * doomedSetMs, () =>
        world.act(pick(), (r) => r.set(r.store.space(''), key, 'doomed', { ttlMs: Number.POSITIVE_INFINITY })),
      );
    // The deleter runs at that time: a deletion nobody makes proves nothing.
    world.at(doomedDeleteMs + random.next() * 5_000, () => {
      deleter.pausedUntilMs = 0;
      if (deleter.isDown) world.start(deleter);
      world.act(deleter, (replica) => replica.delete(replica.store.space(''), key));
    });
  }

  const splitLoop = (): void => {
    if (world.nowMs >= faultsEndMs - 5_000) return;
    const groups = 1 + random.below(3);
    for (const node of world.nodes) node.group = random.below(groups);
    world.after(random.next() * 20_000, () => {
      for (const node of world.nodes) node.group = 0;
      world.after(random.next() * 8_000, splitLoop);
    });
  };
  const troubleLoop = (): void => {
    if (world.nowMs >= faultsEndMs - 1_000) return;
    const node = pick();
    const dice = random.below(10);
    if (dice < 5) node.pausedUntilMs = world.nowMs + random.next() * (dice < 1 ? 25_000 : 3_000);
    else if (dice < 7 && !isDeleter(node)) {
      node.isDown = true;
      world.after(random.next() * 10_000, () => node.isDown && world.start(node));
    } else if (dice < 8) node.skewMs += (random.next() * 2 - 1) * ((seed >> 2) % 4 === 3 ? 3_000 : 100);
    world.after(random.next() * 4_000, troubleLoop);
  };
  // A deletion that only a crashed node knew of is lost with it, as a write is.
  const isDeleter = (_: SimNode): boolean =>
    world.nowMs > doomedDeleteMs - 11_000 && world.nowMs < doomedDeleteMs + 30_000;

  writeLoop();
  splitLoop();
  troubleLoop();
  world.runUntil(faultsEndMs);
  world.isFaulty = false;
  for (const node of world.nodes) {
    node.group = 0;
    node.pausedUntilMs = 0;
    if (node.isDown) world.start(node);
  }
  world.runUntil(endMs);

  const all = world.nodes.map((node) => contents(node.replica));
  const sum = (of: (replica: Replica) => number): number =>
    world.nodes.reduce((total, node) => total + of(node.replica), 0);
  return {
    seed,
    faults: [...differences(all), ...undead(all), ...bounds(world)],
    keys: all[0]!.size,
    writes,
    messages: world.messages,
    pulls: sum((replica) => replica.replicator.stats.pulls),
    states: sum((replica) => replica.replicator.stats.states),
    refused: sum((replica) => replica.replicator.stats.refused),
    restamped: sum((replica) => replica.replicator.stats.restamped),
  };
}

function contents(replica: Replica): Map<string, string> {
  const found = new Map<string, string>();
  for (const name of spaces) {
    const space = replica.store.space(name);
    for (const key of replica.store.entries.keysOf(space)) {
      const value = JSON.stringify(replica.store.entries.valueAt(replica.store.entries.find(space, key)));
      found.set(`${name}/${key}`, value);
    }
  }
  return found;
}

function differences(all: readonly Map<string, string>[]): string[] {
  const faults: string[] = [];
  const first = all[0]!;
  for (const [index, other] of all.entries()) {
    for (const key of new Set([...first.keys(), ...other.keys()]))
      if (first.get(key) !== other.get(key))
        faults.push(`n0 has ${key} = ${first.get(key)}, n${index} has ${other.get(key)}`);
  }
  return faults;
}

function undead(all: readonly Map<string, string>[]): string[] {
  return all.flatMap((held, index) =>
    doomed.filter((key) => held.has(`/${key}`)).map((key) => `n${index} still has the deleted ${key}`),
  );
}

/** What was remembered of those gone is forgotten. */
function bounds(world: World): string[] {
  return world.nodes.flatMap(({ name, replica }) => [
    ...(replica.replicator.isSyncing ? [`${name} still takes a state`] : []),
    ...(replica.replicator.isReady ? [] : [`${name} is not ready`]),
    ...(replica.store.tombstones > 0 ? [`${name} keeps ${replica.store.tombstones} tombstones`] : []),
    ...(replica.replicator.origins > world.nodes.length * 2
      ? [`${name} keeps ${replica.replicator.origins} origins`]
      : []),
  ]);
}
