import type { NodeId } from '../core/message.js';
import { committedIndex, voteResult } from '../core/quorum.js';
import { optionValue, optionValues, wholeNumber } from './arguments.js';
import { ScriptError } from './cluster.js';
import type { Directive } from './script.js';

export const quorumCommands: ReadonlySet<string> = new Set(['committed', 'vote']);

const voteNames = { pending: 'VotePending', lost: 'VoteLost', won: 'VoteWon' } as const;

/** Runs the commands of a script about the mathematics of majorities. */
export class QuorumScript {
  run(directive: Directive): string {
    const incoming = (optionValues(directive, 'cfg') ?? []).map(wholeNumber);
    const outgoing =
      optionValue(directive, 'cfgj') === 'zero' ? [] : (optionValues(directive, 'cfgj') ?? []).map(wholeNumber);
    const voters = [...new Set([...incoming, ...outgoing])];
    try {
      if (directive.command === 'vote') return vote(directive, incoming, outgoing, voters);
      if (directive.command === 'committed') return committed(directive, incoming, outgoing, voters);
      throw new ScriptError('unknown command');
    } catch (error) {
      if (error instanceof ScriptError) return error.message;
      throw error;
    }
  }
}

/** The values of `key`, one for each voter in the order in which the configurations name them. */
function given(directive: Directive, key: string, voters: readonly NodeId[]): readonly string[] {
  const values = optionValues(directive, key) ?? [];
  if (values.length !== voters.length)
    throw new ScriptError(
      `error: mismatched input (explicit or _) for voters [${voters.join(' ')}]: [${values.join(' ')}]`,
    );
  return values;
}

function vote(
  directive: Directive,
  incoming: readonly NodeId[],
  outgoing: readonly NodeId[],
  voters: readonly NodeId[],
): string {
  const votes = new Map<NodeId, boolean>();
  given(directive, 'votes', voters).forEach((value, i) => {
    if (value === 'y' || value === 'n') votes.set(voters[i]!, value === 'y');
    else if (value !== '_') throw new ScriptError(`unknown vote: ${value}`);
  });
  return voteNames[voteResult(incoming, outgoing, votes)];
}

function committed(
  directive: Directive,
  incoming: readonly NodeId[],
  outgoing: readonly NodeId[],
  voters: readonly NodeId[],
): string {
  const indexes = new Map<NodeId, number>();
  given(directive, 'idx', voters).forEach((value, i) => {
    // Zero and unknown are one: nothing is stored there.
    if (value !== '_' && wholeNumber(value) > 0) indexes.set(voters[i]!, wholeNumber(value));
  });
  const index = committedIndex(incoming, outgoing, { matchIndex: (id) => indexes.get(id) });
  return chart(voters, indexes) + (index === Number.POSITIVE_INFINITY ? '∞' : index);
}

/** A bar for each voter, as long as there are voters behind it. */
function chart(voters: readonly NodeId[], indexes: ReadonlyMap<NodeId, number>): string {
  const width = voters.length;
  if (width === 0) return '<empty majority quorum>';
  const rows = [...voters].sort((a, b) => a - b).map((id) => row(id, voters, indexes));
  return [`${' '.repeat(width)}    idx`, ...rows, ''].join('\n');
}

function row(id: NodeId, voters: readonly NodeId[], indexes: ReadonlyMap<NodeId, number>): string {
  const index = indexes.get(id);
  const behind = voters.filter((other) => (indexes.get(other) ?? 0) < (index ?? 0)).length;
  const bar = index === undefined ? '?' : `${'x'.repeat(behind)}>`;
  return `${bar.padEnd(voters.length + 1)} ${String(index ?? 0).padStart(5)}    (id=${id})`;
}
