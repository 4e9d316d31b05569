import type { Clock, Logger } from '@dcache/base';
import type { Serf } from '@dcache/serf';
import { memberTags } from './membership.js';

export interface FoundingParts {
  readonly serf: Pick<Serf, 'members'>;
  /** This node's name. */
  readonly name: string;
  /** Whether anybody answers at the `join` addresses; waits for that so long at most. */
  readonly ask: (withinMs: number) => Promise<boolean>;
  /** Looks for a cluster in the pool and takes it; whether this node belongs to one now. */
  readonly hasCluster: () => Promise<boolean>;
  /** Tells the pool by the tag `founder` what this node is about to do. */
  readonly tell: (founder: 'asks' | 'founds') => void;
  readonly isStopping: () => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** How long the `join` addresses are asked before silence counts as "there is no cluster", in milliseconds. */
export const askForMs = 3_000;
const askAgainMs = 300;
/** After somebody answered: how long news of others who came at the same moment may take. */
const settleMs = 400;

/**
 * Whether a node with `--bootstrap` and `--join` is to found the cluster, once that is certain. It founds none where one
 * exists, and of several that look for one at the same time only the first by name does: each tells the pool that it
 * asks, so that of any two that can reach each other the later sees the earlier.
 */
export async function isToFound(parts: FoundingParts): Promise<boolean> {
  const { clock, logger, name } = parts;
  parts.tell('asks');
  if (!(await findsOthers(parts))) {
    parts.tell('founds');
    return true;
  }
  await pause(clock, settleMs);
  let waitsFor = '';
  for (;;) {
    if (parts.isStopping() || (await parts.hasCluster())) return false;
    const other = founderBefore(parts);
    if (other === undefined) {
      // In the same turn as the look: whoever joins from here on is told.
      parts.tell('founds');
      return true;
    }
    if (other !== waitsFor) logger.info({ id: name, founder: other }, `waits for ${other}, which founds the cluster`);
    waitsFor = other;
    await pause(clock, askAgainMs);
  }
}

/** Whether somebody answers at the addresses, within the time. */
async function findsOthers(parts: FoundingParts): Promise<boolean> {
  const deadlineMs = parts.clock.monotonicMs() + askForMs;
  for (;;) {
    const leftMs = deadlineMs - parts.clock.monotonicMs();
    if (parts.isStopping() || leftMs <= 0) return false;
    // Not the whole time at once: somebody may as well join this node meanwhile.
    if ((await parts.ask(Math.min(askAgainMs, leftMs))) || others(parts).length > 0) return true;
  }
}

/** Who goes before this node: one that founds already, or asks and has the lower name. */
function founderBefore(parts: FoundingParts): string | undefined {
  const founders = others(parts);
  const decided = founders.find((member) => member.tags.get(memberTags.founder) === 'founds');
  return (
    decided ?? founders.find((member) => member.tags.get(memberTags.founder) === 'asks' && member.name < parts.name)
  )?.name;
}

function others({ serf, name }: FoundingParts): ReturnType<Serf['members']> {
  return serf.members().filter((member) => member.name !== name && member.status === 'alive');
}

function pause(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => void clock.after(ms, resolve));
}
