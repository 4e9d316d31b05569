import type { Logger } from '@dcache/base';
import type { AgentRpc, Serf } from '@dcache/serf';
import type { Front } from './front.js';
import type { Standing } from './members/standing.js';
import type { Peers } from './peers/peers.js';
import type { Running } from './running.js';
import type { Security } from './security/security.js';

/** What a node has taken by the time it stops; what it had not started yet is undefined. */
export interface ShutdownParts {
  /** This node's name. */
  readonly id: string;
  readonly standing: Standing;
  readonly running: Running | undefined;
  readonly front: Front;
  readonly security: Security;
  readonly serfRpc: AgentRpc | undefined;
  readonly serf: Serf;
  readonly peers: Peers;
  readonly logger: Logger;
}

const departureMessage = {
  left: 'left the cluster',
  last: 'the last voter of the cluster stops',
  unheard: 'stops without having left the cluster: nobody took the request',
} as const;

const noCluster = 'stops; it belonged to no cluster';

/**
 * Takes leave of the others. In memory, or where it was asked to leave, a node leaves the cluster, because it will never
 * be back under this id; on disk it hands leadership over and stays a member. The last voter just stops.
 */
export async function depart(parts: ShutdownParts, leavesForGood: boolean): Promise<void> {
  const { id, standing, running, serf, logger } = parts;
  running?.rest();
  const hasCluster = standing.home?.cluster !== undefined;
  if (standing.home?.isDurable && !leavesForGood) {
    await running?.departure.handOver();
    logger.info({ id }, hasCluster ? 'stops and stays a member' : noCluster);
  } else if (running) {
    const result = await running.departure.leave();
    logger.info({ id }, hasCluster ? departureMessage[result] : noCluster);
    await attempt('leave', () => serf.leave(), logger);
  }
}

/** Frees all that a start took, in reverse; a step that fails does not keep the others. */
export async function takeDown(parts: ShutdownParts): Promise<void> {
  const { standing, running, front, security, serfRpc, serf, peers, logger } = parts;
  running?.rest();
  standing.stop();
  front.close();
  security.stop();
  await attempt('serf rpc', () => serfRpc?.stop(), logger);
  await attempt('gossip', () => serf.stop(), logger);
  await attempt('log', () => running?.node.stop() ?? standing.home?.storage.close(), logger);
  await attempt('peers', () => peers.stop(), logger);
  front.end();
}

async function attempt(step: string, take: () => Promise<unknown> | undefined, logger: Logger): Promise<void> {
  try {
    await take();
  } catch (error) {
    logger.warn({ err: error, step }, 'a part did not stop as it should');
  }
}
