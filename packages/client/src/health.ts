import type { NodeStatus, ServerInfo } from '@dcache/protocol';

/** A server's own view, or that it did not give one. */
export type View =
  | Pick<NodeStatus, 'id' | 'role' | 'leader' | 'isDiskFull'>
  | { readonly id: string; readonly error: string };

/** Why a cluster takes no writes. */
export interface ClusterFault {
  readonly code: 'unavailable' | 'disk-full';
  readonly reason: 'no-leader' | undefined;
  readonly message: string;
}

/**
 * Why a cluster takes no writes, as far as its servers' views tell; undefined where a leader and a majority of the voters
 * answer, and the disks of a majority have room. Servers beyond that may be down: that is what a cluster is for.
 */
export function faultOf(
  servers: readonly Pick<ServerInfo, 'id' | 'voteStatus'>[],
  views: readonly View[],
): ClusterFault | undefined {
  const voters = servers.filter((server) => server.voteStatus === 'Voter').map((server) => server.id);
  const answering = new Map(views.flatMap((view) => ('error' in view ? [] : [[view.id, view] as const])));
  const present = voters.filter((id) => answering.has(id));
  if (present.length * 2 <= voters.length)
    return noLeader(
      `${present.length} of ${voters.length} voters answer, which is no majority; the cluster takes no writes`,
    );
  // Not the one that only a follower still names: it may be the one that is down.
  if (!voters.some((id) => isLeader(answering.get(id))))
    return noLeader(
      `${present.length} of ${voters.length} voters answer and none leads; the cluster takes no writes until one is elected`,
    );
  const roomy = present.filter((id) => !isFull(answering.get(id)!));
  if (roomy.length * 2 <= voters.length)
    return {
      code: 'disk-full',
      reason: undefined,
      message: `${roomy.length} of ${voters.length} voters have room on their disks, which is no majority; the cluster takes no writes until a majority has`,
    };
  return undefined;
}

function noLeader(message: string): ClusterFault {
  return { code: 'unavailable', reason: 'no-leader', message };
}

function isFull(view: View): boolean {
  return !('error' in view) && view.isDiskFull;
}

function isLeader(view: View | undefined): boolean {
  return view !== undefined && !('error' in view) && view.role === 'leader';
}
