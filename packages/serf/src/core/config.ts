/**
 * Timing and limits of both layers. The defaults are `lan()`; `wan()` and `local()` change some. All members of a pool
 * should use one profile: the wire does not carry it.
 */
export interface Timing {
  /** Longest time for a stream to connect, to send, or to answer. Default 10 000 ms. */
  readonly streamTimeoutMs: number;
  /** Members asked to probe for us when a direct probe got no answer (SWIM §3.1). Default 3. */
  readonly indirectChecks: number;
  /** A message is gossiped `retransmitMult · ceil(log10(n + 1))` times. Default 4. */
  readonly retransmitMult: number;
  /** A suspicion lasts at least `suspicionMult · max(1, log10 n) · probeIntervalMs`. Default 4. */
  readonly suspicionMult: number;
  /** Without confirmations a suspicion lasts this many times longer (Lifeguard §IV-B). Default 6. */
  readonly suspicionMaxTimeoutMult: number;
  /** Between two full exchanges with a random member, in pools of up to 32; larger pools wait longer. Default 30 000 ms. */
  readonly pushPullIntervalMs: number;
  /** Between two probes. Default 1000 ms. */
  readonly probeIntervalMs: number;
  /** Wait for a direct ack before others are asked; should exceed the slowest round trip. Default 500 ms. */
  readonly probeTimeoutMs: number;
  /** Local health stretches the probe interval up to this many times (Lifeguard §IV-A). Default 8. */
  readonly awarenessMaxMultiplier: number;
  /** Between two rounds of gossip. Default 200 ms. */
  readonly gossipIntervalMs: number;
  /** Members gossiped to in one round. Default 3. */
  readonly gossipNodes: number;
  /** A dead member still gets gossip for so long, so that it can refute; then it is forgotten. Default 30 000 ms. */
  readonly gossipToTheDeadMs: number;
  /** Packets are filled to this many bytes. Default 1400. */
  readonly packetBytes: number;
  /** Longest wait for a leave to be gossiped. Default 5000 ms. */
  readonly broadcastTimeoutMs: number;
  /** A leaving member keeps answering for so long. Default 1000 ms. */
  readonly leavePropagateDelayMs: number;
  /** Between two sweeps of members that are gone for good. Default 15 000 ms. */
  readonly reapIntervalMs: number;
  /** Between two attempts to reach a failed member. Default 30 000 ms. */
  readonly reconnectIntervalMs: number;
  /** A failed member is forgotten after this. Default 24 h. */
  readonly reconnectTimeoutMs: number;
  /** A member that left is forgotten after this. Default 24 h. */
  readonly tombstoneTimeoutMs: number;
  /** An intent about an unknown member is kept for so long. Default 5 min. */
  readonly recentIntentTimeoutMs: number;
  /** Queued messages of the upper layer are cut to `maxQueueDepth` this often. Default 30 000 ms. */
  readonly queueCheckIntervalMs: number;
  /** Default 4096 messages in each queue of the upper layer. */
  readonly maxQueueDepth: number;
  /** User events remembered to drop duplicates, in Lamport times. Default 512. */
  readonly eventBuffer: number;
  /** Queries remembered to drop duplicates, in Lamport times. Default 512. */
  readonly queryBuffer: number;
  /** A query waits `gossipIntervalMs · queryTimeoutMult · ceil(log10(n + 1))` for answers. Default 16. */
  readonly queryTimeoutMult: number;
  /** Largest query on the wire. Default 1024 bytes. */
  readonly querySizeBytes: number;
  /** Largest answer on the wire. Default 1024 bytes. */
  readonly queryResponseSizeBytes: number;
  /** Largest user event, both as name and payload and on the wire. Default 512, at most 9216 bytes. */
  readonly userEventSizeBytes: number;
  /** Largest table of members; claims about more are dropped. Default 65 536. */
  readonly maxMembers: number;
}

/** For one data centre; Serf's default profile. */
export function lan(): Timing {
  return {
    streamTimeoutMs: 10_000,
    indirectChecks: 3,
    retransmitMult: 4,
    suspicionMult: 4,
    suspicionMaxTimeoutMult: 6,
    pushPullIntervalMs: 30_000,
    probeIntervalMs: 1000,
    probeTimeoutMs: 500,
    awarenessMaxMultiplier: 8,
    gossipIntervalMs: 200,
    gossipNodes: 3,
    gossipToTheDeadMs: 30_000,
    packetBytes: 1400,
    broadcastTimeoutMs: 5000,
    leavePropagateDelayMs: 1000,
    reapIntervalMs: 15_000,
    reconnectIntervalMs: 30_000,
    reconnectTimeoutMs: 24 * 3_600_000,
    tombstoneTimeoutMs: 24 * 3_600_000,
    recentIntentTimeoutMs: 300_000,
    queueCheckIntervalMs: 30_000,
    maxQueueDepth: 4096,
    eventBuffer: 512,
    queryBuffer: 512,
    queryTimeoutMult: 16,
    querySizeBytes: 1024,
    queryResponseSizeBytes: 1024,
    userEventSizeBytes: 512,
    maxMembers: 65_536,
  };
}

/** Between data centres: slower, more patient. */
export function wan(): Timing {
  return {
    ...lan(),
    streamTimeoutMs: 30_000,
    suspicionMult: 6,
    pushPullIntervalMs: 60_000,
    probeIntervalMs: 5000,
    probeTimeoutMs: 3000,
    gossipNodes: 4,
    gossipIntervalMs: 500,
    gossipToTheDeadMs: 60_000,
  };
}

/** On one machine: faster, less patient. */
export function local(): Timing {
  return {
    ...lan(),
    streamTimeoutMs: 1000,
    indirectChecks: 1,
    retransmitMult: 2,
    suspicionMult: 3,
    pushPullIntervalMs: 15_000,
    probeTimeoutMs: 200,
    gossipIntervalMs: 100,
    gossipToTheDeadMs: 15_000,
  };
}

/** Largest encoded tags; they travel as the meta of an alive message. */
export const maxMetaBytes = 512;

/** No configuration lifts a user event above this. */
export const userEventHardLimitBytes = 9216;
