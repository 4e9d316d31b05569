import type { Clock } from '@dcache/base';
import type { ServerInfo } from '@dcache/protocol';
import type { Serf } from '@dcache/serf';
import type { SelfKnowledge } from './api/internal.js';
import type { Front } from './front.js';
import type { Standing } from './members/standing.js';
import { metricsContentType, metricsText, requestFamilies } from './observe/metrics.js';
import { type NodeStats, nodeFamilies } from './observe/metrics-node.js';
import type { RequestMetrics } from './observe/metrics-requests.js';
import { type Overview, overview } from './observe/overview.js';
import { isReady, type ServerStatus, serverStatus } from './observe/status.js';
import type { Running } from './running.js';
import type { CacheStateMachine } from './state/state-machine.js';
import { version } from './version.js';

export interface SelfViewParts {
  /** This node's name. */
  readonly id: string;
  readonly standing: Standing;
  readonly running: () => Running | undefined;
  readonly isStopping: () => boolean;
  readonly stateMachine: CacheStateMachine;
  readonly serf: Serf;
  readonly front: () => Front;
  readonly metrics: RequestMetrics;
  readonly droppedLogLines: () => number;
  readonly clock: Clock;
}

/** What a node can tell about itself, at every moment of its life. */
export class SelfView implements SelfKnowledge {
  readonly #parts: SelfViewParts;
  readonly #startedMs: number;
  #wasReady = false;

  constructor(parts: SelfViewParts) {
    this.#parts = parts;
    this.#startedMs = parts.clock.monotonicMs();
  }

  /** A member with a leader, that has applied what it knows to be committed. */
  get isReady(): boolean {
    const { running, isStopping } = this.#parts;
    const isReadyNow = isReady(running()?.log.status(), isStopping(), this.#wasReady);
    this.#wasReady ||= isReadyNow;
    return isReadyNow;
  }

  servers(): readonly ServerInfo[] {
    return this.#parts.running()?.router.servers() ?? [];
  }

  status(): ServerStatus {
    const { id, standing, running, stateMachine } = this.#parts;
    return serverStatus({
      id,
      raftId: standing.home?.raftId ?? 0,
      rpcAddr: standing.rpcAddr,
      cluster: standing.home?.cluster,
      isReady: this.isReady,
      raft: running()?.log.status(),
      stateMachine,
      servers: this.servers(),
    });
  }

  /** All metrics in Prometheus' text format. */
  async metrics(): Promise<{ readonly text: string; readonly type: string }> {
    const families = [...requestFamilies(this.#parts.metrics), ...nodeFamilies(this.#stats())];
    return { text: await metricsText(families), type: metricsContentType };
  }

  /** What the page shows. */
  overview(): Overview {
    const { running, metrics, clock } = this.#parts;
    const known = running()?.membership.gossip() ?? [];
    const monotonicMs = clock.monotonicMs();
    return overview({
      status: this.status(),
      stats: this.#stats(),
      requests: metrics,
      monotonicMs,
      uptimeSeconds: (monotonicMs - this.#startedMs) / 1_000,
      gossip: (name) => known.find((member) => member.name === name)?.status,
    });
  }

  #stats(): NodeStats {
    const { running, serf, stateMachine, front, droppedLogLines } = this.#parts;
    const { node, log } = running() ?? {};
    return {
      raft: node && log && { stats: node.stats(), status: log.status() },
      nameOf: (id) => stateMachine.directory.get(id)?.name,
      serf: serf.stats(),
      store: stateMachine.store.stats(),
      mux: front().stats(),
      isReady: this.isReady,
      sessions: stateMachine.sessionCount,
      revision: stateMachine.revision,
      stampMs: stateMachine.stampMs,
      droppedLogLines: droppedLogLines(),
      version,
    };
  }
}
