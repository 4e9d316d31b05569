import { assert, ByteWriter, type Clock, type Logger } from '@dcache/base';
import type { ConflictReport, Serf } from '@dcache/serf';
import { newClusterId } from '../log/cluster-id.js';
import { LogHome } from '../log/log-home.js';
import { defaultDataDir, type ResolvedOptions } from '../settings/options.js';
import { writeIdentity } from '../state/directory.js';
import { ClusterWatch } from './cluster-watch.js';
import { isToFound } from './founding.js';
import { Joiner } from './joiner.js';
import { Meeting } from './meeting.js';
import { memberTags } from './membership.js';

export interface StandingParts {
  readonly options: ResolvedOptions;
  readonly serf: Serf;
  readonly isStopping: () => boolean;
  /** Whether a client's write was acknowledged here, so that this node has something to lose. */
  readonly isWrittenTo: () => boolean;
  readonly onFatal: (error: Error) => void;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Who this node is, where it is reached, and to which cluster it belongs: what its log says and gossip is told. */
export class Standing {
  readonly joiner: Joiner;
  readonly meeting: Meeting;
  readonly #parts: StandingParts;
  #home: LogHome | undefined;
  #watch: ClusterWatch | undefined;
  #rpcAddr = '';
  #quorumIsLost = false;

  constructor(parts: StandingParts) {
    this.#parts = parts;
    this.joiner = new Joiner(parts.serf, parts.options.join, parts.clock, parts.logger);
    this.meeting = new Meeting(parts.serf, parts.clock, parts.logger);
  }

  /** `host:port` that clients and peers reach; empty before it is known. */
  get rpcAddr(): string {
    return this.#rpcAddr;
  }

  /**
   * The port under which nodes of another cluster may meet this node's gossip, as long as it is alone: without a cluster,
   * or with one that it has just founded. Else 0: where two clusters of several nodes meet, nobody is found again.
   */
  get meetingPort(): number {
    const isAlone = this.#watch?.isAlone ?? false;
    return this.#rpcAddr !== '' && isAlone ? this.#parts.serf.localMember().port : 0;
  }

  /** Undefined before `open`. */
  get home(): LogHome | undefined {
    return this.#home;
  }

  get known(): LogHome {
    assert(this.#home, 'the node has not opened its log yet');
    return this.#home;
  }

  /** Opens the log. Rejects with an error that names the folder where it is of another node, in use, or damaged. */
  async open(): Promise<void> {
    const { options, serf, isWrittenTo, clock, logger, onFatal } = this.#parts;
    const { inMemory, dataDir, id } = options;
    if (!inMemory && dataDir === defaultDataDir)
      logger.warn(
        { id },
        `the log is kept in ${dataDir}, the default of --data-dir: temporary folders are emptied, by a restart of the machine or by their age, and all that this node holds goes with them; give --data-dir a lasting one`,
      );
    this.#home = await LogHome.open({ inMemory, dataDir, name: id, clock, logger });
    this.#watch = new ClusterWatch({
      ...{ serf, home: this.#home, name: id, joins: this.joiner.addresses.length > 0, isWrittenTo },
      ...{ onFatal, clock, logger },
      adopt: (cluster) => this.#belongTo(cluster),
    });
  }

  /** From now on others reach this node there, and are told so. */
  async isAt(rpcAddr: string): Promise<void> {
    this.#rpcAddr = rpcAddr;
    await this.#parts.serf.setTags(this.#tags());
    this.look();
  }

  /** The gossip pool has changed. Before this node can tell where it is, it belongs nowhere. */
  look(): void {
    if (this.#rpcAddr !== '') void this.#watch?.look();
  }

  /** Whether this node keeps its name against another live node that has it. */
  keepsName(conflict: ConflictReport): boolean {
    return this.#watch?.keepsName(conflict) ?? false;
  }

  /** Settles whether this node founds the cluster; then it belongs to a new one. */
  async settle(): Promise<boolean> {
    const home = this.known;
    const founds = this.#parts.options.bootstrap && !home.hasHistory && (await this.#isToFound());
    if (!founds || this.#parts.isStopping()) return false;
    this.#watch?.founded();
    await this.#belongTo(home.cluster ?? newClusterId());
    return true;
  }

  /** The pool is told whether the cluster can elect: those that were started again cannot know it. */
  quorumIs(isLost: boolean): void {
    this.#quorumIsLost = isLost;
    this.#parts.serf.setTags(this.#tags()).catch((error: unknown) => {
      this.#parts.logger.warn({ err: error }, 'gossip could not be told of the quorum');
    });
  }

  /** Nobody is looked for any more, and the pool is not watched. */
  stop(): void {
    this.joiner.stop();
    this.meeting.stop();
    this.#watch?.stop();
  }

  /** What a founder writes about itself into the first configuration. */
  identity(): Uint8Array {
    const writer = new ByteWriter();
    writeIdentity(writer, { name: this.#parts.options.id, rpcAddr: this.#rpcAddr });
    return writer.copy();
  }

  /** Who was told of others founds a cluster only where they have none. */
  async #isToFound(): Promise<boolean> {
    if (this.joiner.addresses.length === 0) return true;
    const { options, serf, isStopping, clock, logger } = this.#parts;
    return isToFound({
      ...{ serf, name: options.id, isStopping, clock, logger },
      ask: (withinMs) => this.joiner.answers(withinMs),
      hasCluster: async () => (await this.#watch?.seesCluster()) ?? false,
      tell: (founder) => {
        serf.setTags({ ...this.#tags(), [memberTags.founder]: founder }).catch((error: unknown) => {
          logger.warn({ err: error }, 'gossip could not be told that this node founds a cluster');
        });
      },
    });
  }

  async #belongTo(cluster: string): Promise<void> {
    await this.known.adopt(cluster);
    await this.#parts.serf.setTags(this.#tags());
  }

  #tags(): Record<string, string> {
    const { raftId, cluster } = this.known;
    return {
      [memberTags.rpcAddr]: this.#rpcAddr,
      [memberTags.raftId]: String(raftId),
      ...(cluster === undefined ? {} : { [memberTags.cluster]: cluster }),
      ...(this.#watch?.hasFounded ? { [memberTags.founder]: 'founded' } : {}),
      ...(this.#quorumIsLost ? { [memberTags.quorum]: 'lost' } : {}),
    };
  }
}
