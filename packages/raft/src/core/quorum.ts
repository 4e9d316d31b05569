import type { NodeId } from './message.js';

// Majorities, alone and joint. The voters of a configuration are one array, and in a joint configuration two, of which
// both must agree (thesis §4.3). An empty half agrees to everything, so that "not joint" needs no case of its own.

/** What the votes so far decide. */
export type VoteResult = 'pending' | 'lost' | 'won';

/** Where the highest index known to be stored at a voter is found. */
export interface MatchIndexes {
  /** 0 or undefined when nothing is known. */
  matchIndex(id: NodeId): number | undefined;
}

/** Reused by every call: the core is synchronous and a commit index is sought for every answer of a follower. */
const scratch: number[] = [];

/**
 * The highest index that a majority of `voters` has stored; `Infinity` without voters. (Raft §5.3, figure 2)
 *
 * Quorums are small, so the indexes are sorted by insertion, without allocating: in ascending order the place
 * `n - (floor(n/2) + 1)` is reached by exactly a majority.
 */
export function majorityIndex(voters: readonly NodeId[], matches: MatchIndexes): number {
  const count = voters.length;
  if (count === 0) return Number.POSITIVE_INFINITY;
  for (let i = 0; i < count; i++) {
    const index = matches.matchIndex(voters[i]!) ?? 0;
    let at = i;
    while (at > 0 && scratch[at - 1]! > index) {
      scratch[at] = scratch[at - 1]!;
      at--;
    }
    scratch[at] = index;
  }
  return scratch[count - (Math.floor(count / 2) + 1)]!;
}

/** The highest index that a majority of both halves has stored. */
export function committedIndex(
  incoming: readonly NodeId[],
  outgoing: readonly NodeId[],
  matches: MatchIndexes,
): number {
  const index = majorityIndex(incoming, matches);
  return outgoing.length === 0 ? index : Math.min(index, majorityIndex(outgoing, matches));
}

/** Whether a majority of `voters` said yes, or can no longer; a voter without an entry has not said anything yet. */
export function majorityVote(voters: readonly NodeId[], votes: ReadonlyMap<NodeId, boolean>): VoteResult {
  if (voters.length === 0) return 'won';
  const quorum = Math.floor(voters.length / 2) + 1;
  let granted = 0;
  let open = 0;
  for (const id of voters) {
    const vote = votes.get(id);
    if (vote === undefined) open++;
    else if (vote) granted++;
  }
  if (granted >= quorum) return 'won';
  return granted + open >= quorum ? 'pending' : 'lost';
}

/** Won when both halves are, lost when one is. */
export function voteResult(
  incoming: readonly NodeId[],
  outgoing: readonly NodeId[],
  votes: ReadonlyMap<NodeId, boolean>,
): VoteResult {
  const first = majorityVote(incoming, votes);
  const second = majorityVote(outgoing, votes);
  if (first === second) return first;
  return first === 'lost' || second === 'lost' ? 'lost' : 'pending';
}
