import type { MuxStats } from '@dcache/mux';
import type { RaftStats, RaftStatus } from '@dcache/raft';
import type { SerfStats } from '@dcache/serf';
import type { StoreStats } from '@dcache/store';
import { counter, type Family, gauge, histogramSamples } from './metrics.js';

/** What the parts of a node tell of themselves; undefined while they do not take part yet. */
export interface NodeStats {
  readonly raft: { readonly stats: RaftStats; readonly status: RaftStatus } | undefined;
  /** The name of the node with that Raft id. */
  readonly nameOf: (id: number) => string | undefined;
  readonly serf: SerfStats;
  readonly store: StoreStats;
  readonly mux: MuxStats;
  readonly isReady: boolean;
  readonly sessions: number;
  readonly revision: number;
  /** Of the last applied entry, milliseconds since 1970. */
  readonly stampMs: number;
  readonly droppedLogLines: number;
  readonly version: string;
}

/** Every metric of a node but its clients' requests. `docs/observability.md` tells what to watch. */
export function nodeFamilies(node: NodeStats): Family[] {
  return [...serverFamilies(node), ...raftFamilies(node), ...serfFamilies(node.serf), ...storeFamilies(node.store)];
}

function serverFamilies({ isReady, sessions, revision, stampMs, droppedLogLines, version, mux }: NodeStats): Family[] {
  return [
    gauge('dcache_build_info', 'Always 1; the version is a label.', { value: 1, labels: { version } }),
    gauge('dcache_ready', '1 while this node is a member with a leader and has caught up.', Number(isReady)),
    gauge('dcache_sessions', 'Client sessions that are open.', sessions),
    gauge('dcache_revision', 'Writes applied since the cluster was founded.', revision),
    gauge('dcache_log_time_seconds', 'Log time of the last applied entry, since 1970.', stampMs / 1_000),
    counter(
      'dcache_logger_lines_dropped_total',
      'Lines of this log that were dropped because nobody took them in time.',
      droppedLogLines,
    ),
    gauge('mux_connections', 'Connections that are open on the one port.', mux.open),
    counter(
      'mux_connections_accepted_total',
      'Connections by the protocol that their first bytes named.',
      ...Object.entries(mux.accepted).map(([protocol, value]) => ({ labels: { protocol }, value })),
    ),
    counter('mux_connections_refused_total', 'Connections whose first bytes no protocol wanted.', mux.refused),
    counter('mux_connections_timed_out_total', 'Connections whose first bytes did not come in time.', mux.timedOut),
    counter(
      'mux_connections_dropped_total',
      'Connections of no known protocol yet whose place was needed for others.',
      mux.dropped,
    ),
  ];
}

function raftFamilies({ raft, nameOf }: NodeStats): Family[] {
  if (!raft) return [];
  const { stats, status } = raft;
  const latency = (name: string, help: string, kind: 'commitLatency' | 'appendLatency'): Family => ({
    name,
    help,
    type: 'histogram',
    values: histogramSamples(name, stats[kind]),
  });
  return [
    gauge('raft_is_leader', '1 on the leader.', Number(status.role === 'leader')),
    gauge('raft_has_leader', '1 while a leader is known.', Number(status.leader !== undefined)),
    gauge('raft_term', 'The current term.', status.term),
    gauge('raft_commit_index', 'Highest entry known to be committed.', status.commitIndex),
    gauge('raft_applied_index', 'Highest entry applied.', status.appliedIndex),
    gauge('raft_last_index', 'Highest entry in the log.', status.lastIndex),
    gauge('raft_voters', 'Voters of the configuration.', status.confState.voters.length),
    gauge('raft_learners', 'Members without a vote yet.', status.confState.learners.length),
    gauge(
      'raft_follower_lag_entries',
      "On the leader: how many entries a member's log is behind.",
      ...status.progress.map(({ id, matchIndex }) => ({
        labels: { node: nameOf(id) ?? '', raft_id: String(id) },
        value: Math.max(0, status.lastIndex - matchIndex),
      })),
    ),
    counter('raft_leader_changes_total', 'Times that another leader, or none, was seen.', stats.leaderChanges),
    counter('raft_proposals_total', 'Entries proposed here.', stats.proposals),
    counter(
      'raft_proposals_refused_total',
      'Entries refused here, mostly for want of a leader.',
      stats.proposalsRefused,
    ),
    gauge('raft_proposals_pending', 'Entries proposed here and not applied yet.', stats.pendingProposals),
    gauge('raft_reads_pending', 'Reads that wait for their round to a quorum.', stats.pendingReads),
    counter('raft_read_rounds_total', 'Rounds to a quorum for reads; many reads share one.', stats.readRounds),
    counter('raft_applied_entries_total', 'Entries applied since the start.', stats.appliedEntries),
    counter('raft_messages_sent_total', 'Messages to other nodes.', stats.messagesSent),
    counter('raft_messages_received_total', 'Messages from other nodes.', stats.messagesReceived),
    counter('raft_messages_refused_total', 'Messages that were not taken.', stats.messagesRefused),
    counter('raft_snapshots_sent_total', 'Snapshots sent to nodes that lagged.', stats.snapshotsSent),
    counter('raft_snapshots_installed_total', 'Snapshots that replaced the state here.', stats.snapshotsInstalled),
    counter('raft_snapshots_written_total', 'Snapshots written here.', stats.snapshotsWritten),
    gauge('raft_log_bytes', 'Bytes of the log.', stats.logBytes),
    gauge('raft_disk_full', '1 while the disk has no room for the log.', Number(stats.isDiskFull)),
    gauge('raft_tick_delay_max_seconds', 'How late the event loop was at worst.', stats.maxTickDelaySeconds),
    latency('raft_commit_latency_seconds', 'From a proposal here to its application here.', 'commitLatency'),
    latency('raft_append_latency_seconds', 'From a write to the log until it was durable.', 'appendLatency'),
  ];
}

function serfFamilies(serf: SerfStats): Family[] {
  return [
    gauge(
      'serf_members',
      'Members by status.',
      ...(['alive', 'leaving', 'left', 'failed'] as const).map((status) => ({
        labels: { status },
        value: serf[status],
      })),
    ),
    gauge('serf_health_score', '0 is healthy, 7 the worst: how much this node doubts itself.', serf.healthScore),
    counter('serf_probes_total', 'Probes of other members.', serf.probes),
    counter('serf_probes_failed_total', 'Probes without an answer.', serf.probesFailed),
    counter('serf_suspicions_total', 'Members that this node suspected.', serf.suspicionsRaised),
    counter('serf_refutes_total', 'Times that this node had to say that it is alive.', serf.refutes),
    counter(
      'serf_packets_total',
      'UDP packets by direction.',
      { labels: { direction: 'in' }, value: serf.packetsIn },
      { labels: { direction: 'out' }, value: serf.packetsOut },
    ),
    counter('serf_packet_faults_total', 'Packets that could not be read, or not be sent.', serf.packetFaults),
    counter('serf_stream_faults_total', 'TCP exchanges that failed.', serf.streamFaults),
    counter('serf_push_pulls_total', 'Full exchanges of state.', serf.pushPulls),
    gauge(
      'serf_queue_messages',
      'Messages that wait to be gossiped, by kind.',
      { labels: { kind: 'claim' }, value: serf.queuedClaims },
      { labels: { kind: 'intent' }, value: serf.queuedIntents },
      { labels: { kind: 'event' }, value: serf.queuedEvents },
      { labels: { kind: 'query' }, value: serf.queuedQueries },
    ),
  ];
}

function storeFamilies(store: StoreStats): Family[] {
  return [
    gauge('store_entries', 'Entries.', store.entries),
    gauge('store_expiring_entries', 'Entries with a time to live.', store.expiringEntries),
    gauge('store_live_bytes', 'Logical bytes of all entries; the limit counts these.', store.liveBytes),
    gauge('store_max_bytes', 'The limit of the logical bytes.', store.maxBytes),
    gauge('store_allocated_bytes', 'Memory taken for entries and indexes.', store.allocatedBytes),
    counter('store_evictions_total', 'Entries thrown away to make room.', store.evictions),
    counter('store_expirations_total', 'Entries whose time was over.', store.expirations),
  ];
}
