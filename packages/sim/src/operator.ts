import { ConfChangeType, type ConfChangeV2, type ConfState, type NodeId, type Status, Transition } from '@dcache/raft';
import type { Cluster } from './cluster.js';
import type { SimNode } from './node.js';

const intervalMs = 120;
/** A learner this close to the leader's commit index has caught up. */
const caughtUp = 10;
/** How long a removed node lives on: it does not know, and must not disturb the others. (Pitfall 14) */
const minAfterlifeMs = 100;
const maxAfterlifeMs = 1_000;

/**
 * Keeps the cluster at its size the way an administrator does: adds a node as learner, promotes it when it has caught
 * up, removes those that are dead, and now and then replaces one for no reason, one at a time or several at once by a
 * joint configuration. It asks whichever node leads, and looks again later, because a change can be lost.
 */
export class Operator {
  readonly #cluster: Cluster;
  readonly #size: number;
  /** Nodes that will never come back. */
  readonly #dead = new Set<NodeId>();
  readonly #retiring = new Set<NodeId>();
  /** Replaces healthy nodes too. */
  isRestless = false;
  changes = 0;

  constructor(cluster: Cluster, size: number) {
    this.#cluster = cluster;
    this.#size = size;
  }

  start(): void {
    const { scheduler } = this.#cluster;
    scheduler.after(scheduler.between(intervalMs / 2, intervalMs), () => {
      this.#work();
      this.start();
    });
  }

  /** A node in memory has died: its id is never used again. */
  bury(id: NodeId): void {
    this.#dead.add(id);
  }

  /**
   * Whether all members are alive, vote, and agree on who is a member, and no change of that is in any log: only then
   * may a node in memory die, or a removal under way could leave a majority dead.
   */
  isWhole(): boolean {
    const found = this.#cluster.leader();
    if (found === undefined || this.#dead.size > 0) return false;
    const { confState } = found.status;
    if (!isSettled(confState, this.#size)) return false;
    return confState.voters.every((id) => {
      const node = this.#cluster.nodes.get(id);
      return (
        node?.isUp === true && sameMembers(node.confState, confState) && !node.mayHoldChangeAfter(node.machine.applied)
      );
    });
  }

  /** Whether the configuration is what is wanted and everyone in it lives. */
  isDone(): boolean {
    const found = this.#cluster.leader();
    if (found === undefined) return false;
    const { confState } = found.status;
    return isSettled(confState, this.#size) && !confState.voters.some((id) => this.#dead.has(id));
  }

  #work(): void {
    const found = this.#cluster.leader();
    if (found === undefined) return;
    const { node, status } = found;
    this.#retire();
    const change = this.#next(status);
    if (change === undefined) return;
    const { changes, transition } = change;
    const text = changes.map(({ type, nodeId }) => `${typeNames[type]} ${nodeId}`).join(', ');
    const result = node.proposeChange({ changes, transition });
    this.#cluster.note(`change [${text}] transition=${transition} by ${node.id}: ${JSON.stringify(result)}`);
    if (result?.status === 'appended' && result.refusal === undefined) this.changes++;
  }

  /** Ends the processes of members that are none any more, after a time. */
  #retire(): void {
    const { scheduler, nodes } = this.#cluster;
    for (const id of this.#dead) {
      if (!this.#isForgotten(id)) continue;
      this.#dead.delete(id);
      this.#cluster.destroy(id);
    }
    for (const [id, node] of nodes) {
      if (this.#dead.has(id) || this.#retiring.has(id) || this.#isJoining(node) || !this.#isForgotten(id)) continue;
      this.#retiring.add(id);
      scheduler.after(scheduler.between(minAfterlifeMs, maxAfterlifeMs), () => {
        this.#retiring.delete(id);
        if (this.#isForgotten(id)) this.#cluster.destroy(id);
      });
    }
  }

  /** Not a member for who has applied most, and no later change is in any log. What a leader believes may be old. */
  #isForgotten(id: NodeId): boolean {
    const nodes = [...this.#cluster.nodes.values()];
    const newest = nodes.reduce((best, node) => (node.machine.applied > best.machine.applied ? node : best));
    const { applied } = newest.machine;
    return !isMember(newest.confState, id) && !nodes.some((node) => node.mayHoldChangeAfter(applied));
  }

  /** Started lately and not in any configuration that it knows of. */
  #isJoining(node: SimNode): boolean {
    return this.#joining === node.id;
  }

  #joining: NodeId | undefined;

  #next(status: Status): Required<Pick<ConfChangeV2, 'changes' | 'transition'>> | undefined {
    const { scheduler, nodes } = this.#cluster;
    const { confState, peers, commit } = status;
    const { voters, learners, votersOutgoing } = confState;
    const one = (type: ConfChangeType, nodeId: NodeId): Required<Pick<ConfChangeV2, 'changes' | 'transition'>> => ({
      changes: [{ type, nodeId }],
      transition: scheduler.chance(0.2) ? Transition.jointImplicit : Transition.auto,
    });
    if (votersOutgoing.length > 0)
      return confState.autoLeave ? undefined : { changes: [], transition: Transition.auto };
    if (this.#joining !== undefined && isMember(confState, this.#joining)) this.#joining = undefined;
    const gone = [...this.#dead].find((id) => isMember(confState, id));
    const ready = peers.find(
      ({ id, matchIndex }) => learners.includes(id) && matchIndex > 0 && matchIndex + caughtUp >= commit,
    );
    if (gone !== undefined && ready !== undefined && scheduler.chance(0.5)) {
      const changes = [
        { type: ConfChangeType.addNode, nodeId: ready.id },
        { type: ConfChangeType.removeNode, nodeId: gone },
      ];
      return { changes, transition: scheduler.chance(0.5) ? Transition.jointExplicit : Transition.auto };
    }
    if (gone !== undefined && voters.length > 2 && scheduler.chance(0.5)) return one(ConfChangeType.removeNode, gone);
    if (ready !== undefined) return one(ConfChangeType.addNode, ready.id);
    if (learners.length > 0) return undefined;
    const living = voters.filter((id) => !this.#dead.has(id)).length;
    if (living < this.#size) {
      const id = this.#joining ?? this.#cluster.addNode().id;
      this.#joining = id;
      return one(ConfChangeType.addLearner, id);
    }
    if (gone !== undefined) return one(ConfChangeType.removeNode, gone);
    if (voters.length > this.#size || (this.isRestless && voters.length > 2 && scheduler.chance(0.15))) {
      const id = scheduler.pick(voters);
      const isDemoted = scheduler.chance(0.3) && nodes.get(id)?.isUp === true;
      return one(isDemoted ? ConfChangeType.addLearner : ConfChangeType.removeNode, id);
    }
    return undefined;
  }
}

const typeNames: readonly string[] = Object.entries(ConfChangeType)
  .sort((a, b) => a[1] - b[1])
  .map(([name]) => name);

function isMember({ voters, learners, votersOutgoing, learnersNext }: ConfState, id: NodeId): boolean {
  return [voters, learners, votersOutgoing, learnersNext].some((ids) => ids.includes(id));
}

function isSettled({ voters, learners, votersOutgoing }: ConfState, size: number): boolean {
  return voters.length === size && learners.length === 0 && votersOutgoing.length === 0;
}

function sameMembers(a: ConfState, b: ConfState): boolean {
  return a.voters.join() === b.voters.join() && a.votersOutgoing.length === b.votersOutgoing.length;
}
