import { ByteWriter, type Clock, type Logger } from '@dcache/base';
import { DcacheError, type ErrorCode } from '@dcache/protocol';
import type { Member, Serf } from '@dcache/serf';
import type { ReplicatedLog } from '../log/replicated-log.js';
import { type Directory, writeIdentity } from '../state/directory.js';
import { ChangePause } from './change-pause.js';
import { type GossipMember, type MembershipChange, nextChange } from './reconcile.js';

/**
 * The Serf tags by which nodes know each other; `rpc_addr` is the original's. `founder` is there only in the run in which
 * a node founds its cluster: `asks` while it looks for another, `founds` once it has seen none, then `founded`. `quorum`
 * is `lost` on a survivor of a cluster whose majority was started again without its data.
 */
export const memberTags = {
  rpcAddr: 'rpc_addr',
  raftId: 'raft_id',
  cluster: 'cluster',
  founder: 'founder',
  quorum: 'quorum',
} as const;

export interface MembershipOptions {
  readonly log: ReplicatedLog;
  readonly serf: Pick<Serf, 'members'>;
  readonly directory: () => Directory;
  readonly cluster: () => string | undefined;
  /**
   * Whether a connection to that Raft id is open, on which it has proved that it is the node of that name; with `rpcAddr`,
   * whether it did so there. Dials where none is.
   */
  readonly reaches: (id: number, name: string, rpcAddr?: string) => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly removeFailedAfterMs: number;
}

/** How often the leader compares, whatever happens; events make it sooner. */
const intervalMs = 250;
/**
 * Intervals in a row in which a member has not answered until it is silent: two seconds. In one it may only be that the
 * leader has just checked its quorum and heard nobody since, or that this process stood still.
 */
const silentIntervals = 8;
/** How long gossip may take to hear that a node left that has left the configuration, in milliseconds. */
const leavingMs = 10_000;
/** How a change fails that is not made sooner for being tried again soon. */
const stuck: ReadonlySet<ErrorCode> = new Set(['busy', 'unknown-outcome']);
/** A learner this close to the end of the log counts as caught up. */
const caughtUpEntries = 256;

/**
 * Brings the Raft configuration to what gossip says, on the leader only, in a loop that compares the two anew each time.
 */
export class Membership {
  readonly #options: MembershipOptions;
  /** Since when each Raft id has had its status, and since when one without gossip is missed. */
  readonly #since = new Map<number, { status: string; sinceMs: number }>();
  /** When each Raft id was taken out because it, or an operator, asked for that. */
  readonly #removedAtMs = new Map<number, number>();
  /** Intervals in a row in which each member has not answered this leader; empty where this node does not lead. */
  readonly #unheard = new Map<number, number>();
  #stopTimer: (() => void) | undefined;
  #isChanging = false;
  readonly #pause = new ChangePause();

  constructor(options: MembershipOptions) {
    this.#options = options;
  }

  start(): void {
    this.#stopTimer = this.#options.clock.every(intervalMs, () => {
      this.#pause.tick();
      this.#listen();
      this.look();
      this.#knock();
    });
  }

  stop(): void {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
  }

  /** Raft ids whose times are kept. */
  get remembered(): number {
    return this.#since.size;
  }

  /** Members of the cluster as gossip tells them, without those that are no dcache nodes. */
  gossip(): GossipMember[] {
    const members: GossipMember[] = [];
    for (const member of this.#options.serf.members()) {
      const raftId = Number(member.tags.get(memberTags.raftId));
      if (!Number.isSafeInteger(raftId) || raftId <= 0) continue;
      members.push({
        name: member.name,
        status: member.status,
        sinceMs: this.#sinceMs(raftId, member.status),
        raftId,
        cluster: member.tags.get(memberTags.cluster) ?? '',
        rpcAddr: member.tags.get(memberTags.rpcAddr) ?? '',
      });
    }
    if (this.#since.size > 2 * members.length + 16) this.#forgetStrangers(members);
    return members;
  }

  /** Compares now and makes the next change, if this node leads. */
  look(): void {
    const { log, logger } = this.#options;
    if (this.#isChanging || this.#stopTimer === undefined || log.leader() !== log.id) return;
    if (this.#pause.lasts(log.status())) return;
    const change = this.#next();
    if (!change) return;
    this.#isChanging = true;
    const name = 'identity' in change ? change.identity.name : this.#options.directory().get(change.id)?.name;
    const why = change.type === 'remove' ? { why: change.why } : {};
    logger.info({ change: change.type, name, id: change.id, ...why }, 'members');
    this.#make(change).then(
      () => {
        this.#isChanging = false;
        // Addresses may wait for the interval: two claims that contradict each other must not fill the log.
        if (change.type !== 'update') this.look();
      },
      (error) => {
        // The comparison is made again at the next interval, or after the pause, here or by the next leader.
        this.#isChanging = false;
        if (error instanceof DcacheError && stuck.has(error.code)) this.#pause.begin(log.status());
        logger.warn({ err: error, change: change.type, id: change.id }, 'a membership change failed');
      },
    );
  }

  /** Takes `id` out of the configuration at once, because it asked to leave. Rejects where this node does not lead. */
  async remove(id: number): Promise<void> {
    this.#removedAtMs.set(id, this.#options.clock.monotonicMs());
    try {
      await this.#options.log.changeMember({ type: 'remove', id });
    } catch (error) {
      this.#removedAtMs.delete(id);
      throw error;
    }
  }

  /** Notes who has answered in this interval. */
  #listen(): void {
    const { log } = this.#options;
    const isLeader = log.leader() === log.id;
    const progress = isLeader ? log.status().progress : [];
    const members = new Set(progress.map(({ id }) => id));
    for (const id of this.#unheard.keys()) if (!members.has(id)) this.#unheard.delete(id);
    for (const { id, isActive } of progress) this.#unheard.set(id, isActive ? 0 : (this.#unheard.get(id) ?? 0) + 1);
  }

  /**
   * Shows who it is to the members, as long as it is none of them: the leader takes nobody in before, and a node that is
   * refused should know and say so itself.
   */
  #knock(): void {
    const { log } = this.#options;
    const { voters, learners } = log.status().confState;
    if (!voters.includes(log.id) && !learners.includes(log.id)) this.#proved(this.gossip());
  }

  /** Those of the cluster that are alive and have proved who they are; dials the others. */
  #proved(gossip: readonly GossipMember[]): Set<GossipMember> {
    const { log, cluster, reaches } = this.#options;
    const isProved = ({ raftId, name, status, cluster: theirs }: GossipMember): boolean =>
      raftId === log.id || (status === 'alive' && theirs === cluster() && reaches(raftId, name));
    return new Set(gossip.filter(isProved));
  }

  /** Those of `proved` that have moved, and have proved that they live where gossip says. */
  #placed(proved: ReadonlySet<GossipMember>): Set<GossipMember> {
    const { log, directory, reaches } = this.#options;
    const isPlaced = ({ raftId, name, rpcAddr }: GossipMember): boolean => {
      const known = directory().get(raftId);
      if (known === undefined || known.name !== name || known.rpcAddr === rpcAddr) return false;
      return raftId === log.id || reaches(raftId, name, rpcAddr);
    };
    return new Set([...proved].filter(isPlaced));
  }

  #next(): MembershipChange | undefined {
    const { log, directory, cluster, clock, removeFailedAfterMs } = this.#options;
    const clusterId = cluster();
    if (clusterId === undefined) return undefined;
    const status = log.status();
    const gossip = this.gossip().filter((member) => !this.#isLeaving(member));
    const active = new Set<number>();
    const silent = new Set<number>();
    const caughtUp = new Set<number>();
    for (const { id, isActive, matchIndex } of status.progress) {
      if (isActive) active.add(id);
      else if ((this.#unheard.get(id) ?? 0) >= silentIntervals) silent.add(id);
      // Whoever has acknowledged nothing may not even be reachable, however short the log is.
      if (isActive && matchIndex > 0 && matchIndex + caughtUpEntries >= status.lastIndex) caughtUp.add(id);
    }
    const proved = this.#proved(gossip);
    return nextChange({
      selfId: log.id,
      cluster: clusterId,
      confState: status.confState,
      identityOf: (id) => directory().get(id),
      gossip,
      proved,
      placed: this.#placed(proved),
      caughtUp,
      active,
      silent,
      nowMs: clock.monotonicMs(),
      missedSinceMs: (id) => this.#sinceMs(id, 'missed'),
      removeFailedAfterMs,
    });
  }

  async #make(change: MembershipChange): Promise<void> {
    const { log } = this.#options;
    if (change.type === 'promote' || change.type === 'remove') {
      await log.changeMember({ type: change.type, id: change.id });
      return;
    }
    const writer = new ByteWriter();
    writeIdentity(writer, change.identity);
    await log.changeMember({ type: change.type, id: change.id, context: writer.copy() });
  }

  /** Whether a node that was just taken out looks alive because gossip is late: it is not taken in again for that. */
  #isLeaving({ raftId, status }: GossipMember): boolean {
    const atMs = this.#removedAtMs.get(raftId);
    if (atMs === undefined) return false;
    // Once gossip has seen it go, being alive means that it came back.
    if (status === 'alive' && this.#options.clock.monotonicMs() - atMs < leavingMs) return true;
    this.#removedAtMs.delete(raftId);
    return false;
  }

  /** Keeps times of those that gossip or the configuration knows, so that their number stays bounded. */
  #forgetStrangers(gossip: readonly GossipMember[]): void {
    const known = new Set(gossip.map(({ raftId }) => raftId));
    const { voters, learners } = this.#options.log.status().confState;
    for (const id of [...voters, ...learners]) known.add(id);
    for (const id of this.#since.keys()) if (!known.has(id)) this.#since.delete(id);
    for (const id of this.#removedAtMs.keys()) if (!known.has(id)) this.#removedAtMs.delete(id);
  }

  #sinceMs(id: number, status: Member['status'] | 'missed'): number {
    const known = this.#since.get(id);
    if (known?.status === status) return known.sinceMs;
    const sinceMs = this.#options.clock.monotonicMs();
    this.#since.set(id, { status, sinceMs });
    return sinceMs;
  }
}
