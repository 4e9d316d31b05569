import type { ServerInfo } from '@dcache/protocol';
import type { NodeStats } from './metrics-node.js';
import type { RequestMetrics } from './metrics-requests.js';
import type { SlowRequest } from './slow-log.js';
import type { ServerStatus } from './status.js';

/** A member as this node sees it. */
export interface OverviewMember {
  readonly id: string;
  readonly rpcAddr: string;
  readonly isLeader: boolean;
  readonly isSelf: boolean;
  readonly voteStatus: string;
  /** What gossip says; undefined where it never heard of it. */
  readonly gossip: string | undefined;
  /** On the leader: entries that the member's log is behind. */
  readonly lagEntries: number | undefined;
  /** Of this node, and on the leader of every member: whether it said that its disk has no room for more log. */
  readonly isDiskFull: boolean | undefined;
}

/** What the page shows. Counters count since the start; the page makes rates of two answers. */
export interface Overview {
  readonly version: string;
  /** Milliseconds on a clock that is never set, for rates. */
  readonly monotonicMs: number;
  readonly uptimeSeconds: number;
  readonly status: Omit<ServerStatus, 'servers'>;
  readonly members: readonly OverviewMember[];
  readonly requests: readonly {
    readonly protocol: string;
    readonly verb: string;
    readonly count: number;
    readonly sumSeconds: number;
  }[];
  readonly errors: number;
  readonly hits: number;
  readonly misses: number;
  readonly store: NodeStats['store'];
  readonly memory: { readonly rssBytes: number; readonly heapBytes: number; readonly externalBytes: number };
  readonly connections: number;
  readonly commit: { readonly count: number; readonly sumSeconds: number };
  readonly slowest: readonly SlowRequest[];
}

export interface OverviewParts {
  readonly status: ServerStatus;
  readonly stats: NodeStats;
  readonly requests: RequestMetrics;
  readonly monotonicMs: number;
  readonly uptimeSeconds: number;
  /** Gossip's word on a member, by name. */
  readonly gossip: (name: string) => string | undefined;
}

export function overview(parts: OverviewParts): Overview {
  const { stats, requests } = parts;
  const { servers, ...status } = parts.status;
  const { rss, heapUsed, external } = process.memoryUsage();
  const raft = stats.raft;
  const member = ({ id, raftId, rpcAddr, isLeader, voteStatus }: ServerInfo): OverviewMember => {
    const progress = raft?.status.progress.find((one) => one.id === raftId);
    const isSelf = id === status.id;
    return {
      id,
      rpcAddr,
      isLeader,
      voteStatus,
      isSelf,
      gossip: parts.gossip(id),
      lagEntries: progress && Math.max(0, raft!.status.lastIndex - progress.matchIndex),
      isDiskFull: isSelf ? status.isDiskFull : progress && progress.hasRoom === false,
    };
  };
  let errors = 0;
  for (const { count } of requests.errors()) errors += count;
  return {
    version: stats.version,
    monotonicMs: parts.monotonicMs,
    uptimeSeconds: parts.uptimeSeconds,
    status,
    members: servers.map(member),
    requests: requests.series.map(({ protocol, verb, count, sumSeconds }) => ({ protocol, verb, count, sumSeconds })),
    errors,
    hits: requests.hits,
    misses: requests.misses,
    store: stats.store,
    memory: { rssBytes: rss, heapBytes: heapUsed, externalBytes: external },
    connections: stats.mux.open,
    commit: {
      count: raft?.stats.commitLatency.count ?? 0,
      sumSeconds: raft?.stats.commitLatency.sumSeconds ?? 0,
    },
    slowest: requests.slow.slowest(),
  };
}
