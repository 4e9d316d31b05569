import type { Clock, Logger } from '@dcache/base';
import { DcacheError, type NodeStatus, ReadLevel, type RestoreResult, type ServerInfo } from '@dcache/protocol';
import type { AdminHandler, RestoreIntake, SavedSnapshot } from '../api/grpc-admin.js';
import type { LogTime } from '../log/log-time.js';
import type { ReplicatedLog } from '../log/replicated-log.js';
import type { Departure } from '../members/departure.js';
import type { Membership } from '../members/membership.js';
import type { Router } from '../router.js';
import type { CacheStateMachine } from '../state/state-machine.js';
import { SnapshotFileReader, writeSnapshotFile } from './snapshot-file.js';
import { SnapshotRestore } from './snapshot-restore.js';

/** What an admin call needs; undefined parts are there once the node runs. */
export interface AdminParts {
  /** This node's name. */
  readonly name: string;
  readonly running: () => AdminRunning;
  readonly stateMachine: CacheStateMachine;
  readonly time: LogTime;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly maxValueBytes: number;
  readonly status: () => NodeStatus;
  readonly isReady: () => boolean;
  /** Takes the node down after it has left. */
  readonly stop: () => void;
}

/** Throws `DcacheError` where the node starts or stops. */
interface AdminRunning {
  readonly log: ReplicatedLog;
  readonly router: Router;
  readonly membership: Membership;
  readonly departure: Departure;
}

/** Who saves in need is told what can be had all the same. */
function withoutMajority(error: unknown): never {
  if (!(error instanceof DcacheError && error.code === 'no-leader')) throw error;
  const instead = 'without a majority this node can only give what it has applied itself: ask at consistency local';
  throw new DcacheError('no-leader', `${error.message}; ${instead}`, { cause: error });
}

/** How long a save waits for what is committed and not applied yet, and how often it looks, in milliseconds. */
const catchUpMs = 60_000;
const catchUpAgainMs = 20;

/** Bytes of a snapshot's frames beyond what its entries count for, as a share and as a constant. */
const snapshotSlack = 1.25;
const snapshotExtraBytes = 1_048_576;

/** What an operator may ask of a node. */
export class Admin implements AdminHandler {
  readonly #parts: AdminParts;
  #isSaving = false;
  #isRestoring = false;

  constructor(parts: AdminParts) {
    this.#parts = parts;
  }

  status(): NodeStatus {
    return this.#parts.status();
  }

  isReady(): boolean {
    return this.#parts.isReady();
  }

  async transferLeadership(to: string | undefined): Promise<string> {
    const { log, router } = this.#parts.running();
    this.#checkLeads(log, router.servers());
    if (to === this.#parts.name) return to;
    try {
      await log.transferLeadership(to === undefined ? undefined : this.#voterNamed(to, log));
    } catch (error) {
      if (error instanceof DcacheError) throw error;
      throw new DcacheError('precondition-failed', `leadership was not handed over: ${(error as Error).message}`, {
        cause: error,
      });
    }
    return router.servers().find((server) => server.isLeader)?.id ?? to ?? '';
  }

  async leave(id: string | undefined): Promise<(() => void) | undefined> {
    const { log, router, departure } = this.#parts.running();
    if (id !== undefined && id !== this.#parts.name) {
      this.#checkLeads(log, router.servers());
      await this.#removeDead(id);
      return undefined;
    }
    const { logger, name, stop } = this.#parts;
    const result = await departure.leave();
    if (result === 'last')
      throw new DcacheError('precondition-failed', `${name} is the last voter: stop it to end the cluster`);
    if (result === 'unheard') throw new DcacheError('no-leader', 'no leader took the request to leave; try again');
    logger.info({ id: name }, 'leaves because a client asked for it');
    return stop;
  }

  /** One at a time: each holds the memory that writes replace meanwhile. */
  async saveSnapshot(level: ReadLevel): Promise<SavedSnapshot> {
    const { log, router } = this.#parts.running();
    if (this.#isSaving)
      throw new DcacheError('busy', 'this node saves a snapshot for another client; ask another node');
    this.#isSaving = true;
    try {
      // Linearizable, everything acknowledged until now is in the store after this, on a follower too.
      await router.readMany([], { level }).catch(withoutMajority);
      if (level === ReadLevel.local) await this.#caughtUp(log);
      // From here on in one turn, so that the place in the log is that of the entries.
      const { appliedIndex, appliedTerm, isReadable } = log.status();
      if (!isReadable)
        throw new DcacheError('not-ready', 'this node is taking over the state of another; try again in a moment');
      const { store, stampMs } = this.#parts.stateMachine;
      const { entries, liveBytes } = store.stats();
      const { id, cluster } = this.#parts.status();
      const stored = store.snapshot();
      return {
        moment: { entries, liveBytes, id, cluster, appliedIndex, appliedTerm, stampMs },
        chunks: writeSnapshotFile(stored.chunks()),
        close: () => {
          stored.close();
          this.#isSaving = false;
        },
      };
    } catch (error) {
      this.#isSaving = false;
      throw error;
    }
  }

  restoreSnapshot(): RestoreIntake {
    const { router } = this.#parts.running();
    if (this.#isRestoring) throw new DcacheError('busy', 'this node restores a snapshot for another client');
    this.#isRestoring = true;
    const { stateMachine, time, clock, logger, maxValueBytes } = this.#parts;
    const { maxBytes } = stateMachine.store.stats();
    const reader = new SnapshotFileReader(maxBytes * snapshotSlack + snapshotExtraBytes);
    return {
      write: (chunk) => reader.write(chunk),
      finish: async (replace): Promise<RestoreResult> => {
        const saved = reader.finish();
        await router.readMany([], { level: ReadLevel.linearizable });
        const { entries } = stateMachine.store.stats();
        if (entries > 0 && !replace)
          throw new DcacheError(
            'precondition-failed',
            `the cluster holds ${entries} entries; restore into an empty one, or ask for them to be replaced`,
          );
        const restore = new SnapshotRestore({
          write: (command) => router.write(command),
          clock,
          nowMs: () => time.nowMs(),
          maxValueBytes,
        });
        const result = await restore.run(saved, replace);
        logger.info({ ...result, replaced: replace ? entries : 0 }, 'a snapshot was restored');
        return result;
      },
      close: () => {
        this.#isRestoring = false;
      },
    };
  }

  /** A node that has just started applies its log: what it knows to be committed now is waited for. */
  async #caughtUp(log: ReplicatedLog): Promise<void> {
    const { clock } = this.#parts;
    const { commitIndex } = log.status();
    const deadlineMs = clock.monotonicMs() + catchUpMs;
    for (;;) {
      const { appliedIndex } = log.status();
      if (appliedIndex >= commitIndex) return;
      if (clock.monotonicMs() >= deadlineMs)
        throw new DcacheError('busy', `this node has applied ${appliedIndex} of ${commitIndex} entries; ask again`);
      await new Promise<void>((resolve) => void clock.after(catchUpAgainMs, resolve));
    }
  }

  /** Only a dead member: a live one would come back at once, and can leave in order itself. */
  async #removeDead(name: string): Promise<void> {
    const { log, membership } = this.#parts.running();
    const id = this.#memberNamed(name, log);
    if (id === undefined) throw new DcacheError('not-found', `no member is called ${name}`);
    const seen = membership.gossip().find((member) => member.raftId === id);
    if (seen?.status === 'alive')
      throw new DcacheError('precondition-failed', `${name} is alive at ${seen.rpcAddr}; ask it itself to leave`);
    await membership.remove(id);
    this.#parts.logger.info({ id: name }, 'removed because a client asked for it');
  }

  #checkLeads(log: ReplicatedLog, servers: readonly ServerInfo[]): void {
    if (log.leader() === log.id) return;
    const leader = servers.find((server) => server.isLeader);
    if (!leader) throw new DcacheError('no-leader', 'no leader is known now; try again');
    throw new DcacheError('not-leader', `only the leader does this: ask ${leader.id} at ${leader.rpcAddr}`);
  }

  #voterNamed(name: string, log: ReplicatedLog): number {
    const id = this.#memberNamed(name, log);
    if (id === undefined || !log.status().confState.voters.includes(id))
      throw new DcacheError('not-found', `no voter is called ${name}`);
    return id;
  }

  #memberNamed(name: string, log: ReplicatedLog): number | undefined {
    const { voters, learners } = log.status().confState;
    const { directory } = this.#parts.stateMachine;
    return [...voters, ...learners].find((id) => directory.get(id)?.name === name);
  }
}
