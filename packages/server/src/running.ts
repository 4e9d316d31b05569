import type { Clock, Logger } from '@dcache/base';
import type { Limits, Reply } from '@dcache/protocol';
import { RaftNode } from '@dcache/raft';
import type { Serf } from '@dcache/serf';
import { ExpiryClock } from './log/expiry-clock.js';
import { GroupCommit } from './log/group-commit.js';
import type { LogHome } from './log/log-home.js';
import type { LogTime } from './log/log-time.js';
import { RaftReplicatedLog } from './log/replicated-log.js';
import { TouchFeed } from './log/touch-feed.js';
import { Departure } from './members/departure.js';
import { Membership } from './members/membership.js';
import { lostVoters, QuorumWatch } from './members/quorum-watch.js';
import { withMemberNames } from './observe/member-names.js';
import type { Forwarder } from './peers/forwarder.js';
import type { Peers } from './peers/peers.js';
import { Router } from './router.js';
import type { ResolvedOptions } from './settings/options.js';
import type { CacheStateMachine } from './state/state-machine.js';

export interface RunningParts {
  readonly options: ResolvedOptions;
  readonly limits: Limits;
  readonly home: LogHome;
  /** What a founder writes about itself into the first configuration; undefined for all others. */
  readonly founder: Uint8Array | undefined;
  readonly stateMachine: CacheStateMachine;
  readonly time: LogTime;
  readonly serf: Serf;
  readonly peers: Peers;
  readonly forwarder: Forwarder;
  /** Told when this node finds that the cluster cannot elect any more, and when it can again. */
  readonly quorumIs: (isLost: boolean) => void;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onFatal: (error: Error) => void;
}

/** Bytes of writes that may wait for the next turn of the event loop; more are `busy`. */
const maxWaitingBytes = 64 * 1_048_576;

/** What exists once the cluster question is settled: the log, and all that writes to it or follows it. */
export interface Running {
  readonly node: RaftNode<readonly Reply[]>;
  readonly log: RaftReplicatedLog;
  readonly groupCommit: GroupCommit;
  readonly router: Router;
  readonly membership: Membership;
  readonly departure: Departure;
  readonly quorum: QuorumWatch;
  /** Ends what runs by itself; requests are still answered. */
  rest(): void;
}

/** Starts the Raft node over this log, and what belongs to it. */
export async function run(parts: RunningParts): Promise<Running> {
  const { options, limits, home, stateMachine, time, serf, peers, forwarder, clock, logger } = parts;
  const nameOf = (id: number): string | undefined =>
    id === home.raftId ? options.id : stateMachine.directory.get(id)?.name;
  const node = new RaftNode<readonly Reply[]>({
    id: home.raftId,
    storage: home.storage,
    transport: peers,
    stateMachine,
    ...(parts.founder ? { bootstrap: { context: parts.founder } } : {}),
    maxProposalBytes: limits.maxValueBytes + limits.maxKeyBytes + 2 * 1_048_576,
    trailingEntries: options.trailingEntries,
    clock,
    logger: withMemberNames(logger, nameOf),
  });
  const log = new RaftReplicatedLog(node, nameOf);
  const membership = new Membership({
    log,
    serf,
    directory: () => stateMachine.directory,
    cluster: () => home.cluster,
    reaches: (id, name, rpcAddr) => peers.reaches(id, name, rpcAddr),
    clock,
    logger,
    removeFailedAfterMs: options.removeFailedAfterMs,
  });
  node.on('fatal', parts.onFatal);
  node.on('leader-change', ({ leader, term }) => {
    // A newcomer hears of its leader before the log tells it who that is.
    const known = leader === undefined ? undefined : stateMachine.directory.get(leader)?.name;
    const name = known ?? membership.gossip().find(({ raftId }) => raftId === leader)?.name;
    logger.info(
      { leader: name, id: leader, term },
      leader === undefined ? 'there is no leader' : `${name ?? leader} leads`,
    );
    if (leader !== undefined) forwarder.leaderIs(leader);
    membership.look();
  });
  await node.start();
  const groupCommit = new GroupCommit((data) => log.append(data), time, maxWaitingBytes);
  const { readConsistency, requestTimeoutMs } = options;
  const router = new Router({
    ...{ log, groupCommit, forwarder, stateMachine, time, clock, readConsistency, requestTimeoutMs },
  });
  membership.start();
  const quorum = new QuorumWatch({
    look: () => {
      const { confState } = log.status();
      const identityOf = (id: number) => stateMachine.directory.get(id);
      return lostVoters({ confState, identityOf, gossip: membership.gossip() });
    },
    ...{ hasLeader: () => log.leader() !== 0, cluster: () => home.cluster, tell: parts.quorumIs, clock, logger },
  });
  quorum.start();
  const expiry = new ExpiryClock({ log, groupCommit, stateMachine, time, clock });
  const touchFeed = new TouchFeed(stateMachine, (command) => router.write(command), clock);
  return {
    ...{ node, log, groupCommit, router, membership, quorum, departure: new Departure(log, peers, clock) },
    rest: () => {
      membership.stop();
      quorum.stop();
      expiry.stop();
      touchFeed.stop();
    },
  };
}
