import type { NodeStatus, ServerInfo } from '@dcache/protocol';

/** A server's own view, or that it did not give one. */
export type View =
  | Pick<NodeStatus, 'id' | 'raftId' | 'cluster' | 'role' | 'isDiskFull' | 'appliedIndex' | 'servers'>
  | { readonly id: string; readonly error: string };
type Answer = Exclude<View, { readonly error: string }>;

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
  const answers = views.filter((view): view is Answer => !('error' in view));
  const voters = servers.filter((server) => server.voteStatus === 'Voter').map((server) => server.id);
  if (voters.length === 0) return noMembers(answers);
  const strangers = strangersAmong(answers);
  const answering = new Map(answers.map((view) => [view.id, view] as const));
  const present = voters.filter((id) => answering.has(id) && !strangers.has(id));
  const lost = voters.filter((id) => strangers.has(id));
  // No waiting helps: without its data a node never gives the vote again that it forgot. (Raft §5.2)
  if (lost.length * 2 >= voters.length)
    return noLeader(
      `${restarted(lost, strangers)}; the others are no majority of the ${voters.length} voters, and no leader can be elected unless they are started with the data that they had (docs/operations.md, Lost quorum)`,
    );
  if (present.length * 2 <= voters.length) {
    const also = lost.length === 0 ? '' : `; ${restarted(lost, strangers)}`;
    return noLeader(
      `${present.length} of ${voters.length} voters answer, which is no majority; the cluster takes no writes${also}`,
    );
  }
  // Not the one that only a follower still names: it may be the one that is down.
  if (!voters.some((id) => answering.get(id)?.role === 'leader'))
    return noLeader(
      `${present.length} of ${voters.length} voters answer and none leads; the cluster takes no writes until one is elected`,
    );
  const roomy = present.filter((id) => !answering.get(id)!.isDiskFull);
  if (roomy.length * 2 <= voters.length)
    return {
      code: 'disk-full',
      reason: undefined,
      message: `${roomy.length} of ${voters.length} voters have room on their disks, which is no majority; the cluster takes no writes until a majority has`,
    };
  return undefined;
}

/**
 * The nodes that answer under the name of a voter and are not it: they have another Raft id than the cluster knows, by what
 * the one has applied that is furthest. An older server tells no ids; then nobody is known to be a stranger.
 */
function strangersAmong(answers: readonly Answer[]): ReadonlyMap<string, string | undefined> {
  const told = answers.filter((view) => view.servers.length > 0);
  const furthest = told.reduce<Answer | undefined>(
    (best, view) => (best === undefined || view.appliedIndex > best.appliedIndex ? view : best),
    undefined,
  );
  const members = new Map(
    furthest?.servers.flatMap(({ id, voteStatus, raftId }) => (voteStatus === 'Voter' ? [[id, raftId] as const] : [])),
  );
  return new Map(
    answers
      .filter(({ id, raftId }) => members.get(id) !== undefined && members.get(id) !== raftId)
      .map(({ id }) => [id, furthest?.cluster]),
  );
}

function restarted(names: readonly string[], strangers: ReadonlyMap<string, string | undefined>): string {
  const cluster = strangers.get(names[0]!);
  const of = cluster === undefined ? 'the cluster' : `cluster ${cluster}`;
  return names.length === 1
    ? `${names[0]} answers as another than the member of ${of}: it was restarted without its data`
    : `${listed(names)} answer as others than the members of ${of}: they were restarted without their data`;
}

/** A server that has not been taken into a cluster, or has only just been started, cannot tell who belongs to it. */
function noMembers(answers: readonly Answer[]): ClusterFault {
  if (answers.length === 0) return noLeader('no server tells who the members of the cluster are');
  const one = answers.length === 1;
  return noLeader(
    `${listed(answers.map((view) => view.id))} ${one ? 'belongs' : 'belong'} to no cluster yet, and ${one ? 'knows' : 'know'} no members: ask a server that does with --addr; if all were restarted without their data, the cluster is lost (docs/operations.md, Lost quorum)`,
  );
}

/** Such as `a`, `a and b`, `a, b and c`. */
function listed(names: readonly string[]): string {
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
}

function noLeader(message: string): ClusterFault {
  return { code: 'unavailable', reason: 'no-leader', message };
}
