import { Role } from '../core/message.js';
import type { Progress } from '../core/progress.js';
import type { TraceEvent } from '../core/trace.js';
import { changeText, configurationText, confStateText, hex, messageName, progressText, roleName } from './render.js';

/** Levels in ascending order; a log at one shows it and those after it. */
export const levels = ['DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL', 'NONE'] as const;
export type Level = (typeof levels)[number];

export interface LogLine {
  readonly level: Level;
  readonly text: string;
}

const progressNames = ['probe', 'replicate', 'snapshot'] as const;

/** A progress with its state by name. */
export function viewOf(progress: Progress): string {
  const { matchIndex, nextIndex, isLearner, isPaused, pendingSnapshot, recentActive, inflights } = progress;
  return progressText({
    state: progressNames[progress.state],
    matchIndex,
    nextIndex,
    isLearner,
    isPaused,
    pendingSnapshot,
    recentActive,
    inflight: inflights.count,
    isInflightFull: inflights.isFull,
  });
}

function debug(text: string): LogLine {
  return { level: 'DEBUG', text };
}

function info(text: string): LogLine {
  return { level: 'INFO', text };
}

function warn(text: string): LogLine {
  return { level: 'WARN', text };
}

type Event<Kind extends TraceEvent['kind']> = Extract<TraceEvent, { readonly kind: Kind }>;

/** The line that the scripts have for an event of node `id`; undefined where they have none. */
export function logLine(id: number, event: TraceEvent): LogLine | undefined {
  const me = hex(id);
  switch (event.kind) {
    case 'started': {
      const { voters, term, commit, applied, lastIndex, lastTerm } = event;
      const peers = voters.map(hex).join(',');
      return info(
        `newRaft ${me} [peers: [${peers}], term: ${term}, commit: ${commit}, applied: ${applied}, lastindex: ${lastIndex}, lastterm: ${lastTerm}]`,
      );
    }
    case 'role-changed':
      return info(`${me} became ${becameNames[event.role]} at term ${event.term}`);
    case 'leader-forgotten':
      return info(`${me} forgetting leader ${hex(event.leader)} at term ${event.term}`);
    case 'forget-leader-refused':
      return { level: 'ERROR', text: 'ignoring MsgForgetLeader due to ReadOnlyLeaseBased' };
    case 'quorum-inactive':
      return warn(`${me} stepped down to follower since quorum is not active`);
    case 'higher-term':
      return info(
        `${me} [term: ${event.term}] received a ${messageName(event.type)} message with higher term from ${hex(event.from)} [term: ${event.messageTerm}]`,
      );
    case 'lower-term':
      return info(
        `${me} [term: ${event.term}] ignored a ${messageName(event.type)} message with lower term from ${hex(event.from)} [term: ${event.messageTerm}]`,
      );
    case 'stale-append':
      return info(
        `${me} [term: ${event.term}] ignored entry appends from a ${messageName(event.type)} message with lower term [term: ${event.messageTerm}]`,
      );
    case 'election-refused':
      return electionRefused(me, event);
    case 'election-started':
      return info(`${me} is starting a new election at term ${event.term}`);
    case 'vote-requested':
      return info(
        `${me} [logterm: ${event.lastTerm}, index: ${event.lastIndex}] sent ${messageName(event.type)} request to ${hex(event.to)} at term ${event.term}`,
      );
    case 'vote-received':
      return info(
        `${me} received ${messageName(event.type)}${event.granted ? '' : ' rejection'} from ${hex(event.from)} at term ${event.term}`,
      );
    case 'votes-counted':
      return info(
        `${me} has received ${event.granted} ${messageName(event.type)} votes and ${event.rejected} vote rejections`,
      );
    case 'vote-decided':
      return voteDecided(me, event);
    case 'timeout-now':
      return info(
        `${me} [term ${event.term}] received MsgTimeoutNow from ${hex(event.from)} and starts an election to get leadership.`,
      );
    case 'timeout-now-ignored':
      return debug(
        `${me} [term ${event.term} state ${roleName(event.role)}] ignored MsgTimeoutNow from ${hex(event.from)}`,
      );
    case 'append-refused':
      return debug(
        `${me} received MsgAppResp(rejected, hint: (index ${event.hintIndex}, term ${event.hintTerm})) from ${hex(event.from)} for index ${event.index}`,
      );
    case 'progress-decreased':
      return debug(`${me} decreased progress of ${hex(event.progress.id)} to [${viewOf(event.progress)}]`);
    case 'progress-unknown':
      return debug(`${me} no progress available for ${hex(event.from)}`);
    case 'peer-unreachable':
      return debug(
        `${me} failed to send message to ${hex(event.progress.id)} because it is unreachable [${viewOf(event.progress)}]`,
      );
    case 'snapshot-held':
      return debug(
        event.reason === 'inactive'
          ? `ignore sending snapshot to ${hex(event.to)} since it is not recently active`
          : `${me} failed to send snapshot to ${hex(event.to)} because snapshot is temporarily unavailable`,
      );
    case 'snapshot-sent':
      return debug(
        `${me} [firstindex: ${event.firstIndex}, commit: ${event.commit}] sent snapshot[index: ${event.index}, term: ${event.term}] to ${hex(event.progress.id)} [${viewOf(event.progress)}]`,
      );
    case 'replication-paused':
      return debug(
        `${me} paused sending replication messages to ${hex(event.progress.id)} [${viewOf(event.progress)}]`,
      );
    case 'snapshot-recovered':
      return debug(
        `${me} recovered from needing snapshot, resumed sending replication messages to ${hex(event.progress.id)} [${viewOf(event.progress)}]`,
      );
    case 'snapshot-reported':
      return debug(
        `${me} snapshot ${event.ok ? 'succeeded' : 'failed'}, resumed sending replication messages to ${hex(event.progress.id)} [${viewOf(event.progress)}]`,
      );
    case 'proposal-dropped':
      return proposalDropped(me, event);
    case 'append-rejected':
      return debug(
        `${me} [logterm: ${event.ownTerm}, index: ${event.index}] rejected MsgApp [logterm: ${event.messageLogTerm}, index: ${event.index}] from ${hex(event.from)}`,
      );
    case 'snapshot-refused':
      return warn(
        event.reason === 'not-follower'
          ? `${me} attempted to restore snapshot as leader; should never happen`
          : `${me} attempted to restore snapshot but it is not in the ConfState ${confStateText(event.confState)}; should never happen`,
      );
    case 'snapshot-received':
      return snapshotReceived(me, event);
    case 'read-dropped':
      return info(`${me} no leader at term ${event.term}; dropping index reading msg`);
    case 'conflict-found':
      return info(
        `found conflict at index ${event.index} [existing term: ${event.ownTerm}, conflicting term: ${event.term}]`,
      );
    case 'unstable-replaced':
      return info(`replace the unstable entries from index ${event.index}`);
    case 'unstable-truncated':
      return info(`truncate the unstable entries before index ${event.index}`);
    case 'stable-ignored':
      return stableIgnored(event);
    case 'log-restoring':
      return info(
        `log [committed=${event.committed}, applied=${event.applied}, applying=${event.applying}, unstable.offset=${event.unstableOffset}, unstable.offsetInProgress=${event.unstableInProgress}, len(unstable.Entries)=${event.unstableLength}] starts to restore snapshot [index: ${event.index}, term: ${event.term}]`,
      );
    case 'configuration-switched':
      return info(`${me} switched to configuration ${configurationText(event.configuration)}`);
    case 'conf-change-refused':
      return changeRefused(me, event);
    case 'joint-leave': {
      const configuration = configurationText(event.configuration);
      return event.started
        ? info(`initiating automatic transition out of joint configuration ${configuration}`)
        : debug(
            `not initiating automatic transition out of joint configuration ${configuration}: raft proposal dropped`,
          );
    }
    case 'transfer':
      return transfer(me, event);
  }
}

const becameNames: Record<Role, string> = {
  [Role.follower]: 'follower',
  [Role.candidate]: 'candidate',
  [Role.leader]: 'leader',
  [Role.preCandidate]: 'pre-candidate',
};

function electionRefused(me: string, { reason, term }: Event<'election-refused'>): LogLine {
  if (reason === 'is-leader') return debug(`${me} ignoring MsgHup because already leader`);
  if (reason === 'unpromotable') return warn(`${me} is unpromotable and can not campaign`);
  return warn(`${me} cannot campaign at term ${term} since there are still pending configuration changes to apply`);
}

function voteDecided(me: string, event: Event<'vote-decided'>): LogLine {
  const { decision, lastTerm, lastIndex, vote, candidateTerm, candidateIndex, term } = event;
  const type = messageName(event.type);
  const from = hex(event.from);
  const own = `${me} [logterm: ${lastTerm}, index: ${lastIndex}, vote: ${hex(vote)}]`;
  const candidate = `${from} [logterm: ${candidateTerm}, index: ${candidateIndex}] at term ${term}`;
  if (decision === 'cast') return info(`${own} cast ${type} for ${candidate}`);
  if (decision === 'rejected') return info(`${own} rejected ${type} from ${candidate}`);
  return info(`${own} ignored ${type} from ${candidate}: lease is not expired (remaining ticks: ${event.leaseTicks})`);
}

function proposalDropped(me: string, event: Event<'proposal-dropped'>): LogLine | undefined {
  const { reason, term } = event;
  switch (reason) {
    case 'no-leader':
      return info(`${me} no leader at term ${term}; dropping proposal`);
    case 'not-forwarding':
      return info(`${me} not forwarding to leader ${hex(event.leader)} at term ${term}; dropping proposal`);
    case 'transferring':
      return debug(
        `${me} [term ${term}] transfer leadership to ${hex(event.transferee)} is in progress; dropping proposal`,
      );
    case 'too-much-uncommitted':
      return warn(`${me} appending new entries to log would exceed uncommitted entry size limit; dropping proposal`);
    case 'removed':
      return undefined;
  }
}

function snapshotReceived(me: string, event: Event<'snapshot-received'>): LogLine {
  const { outcome, commit, lastIndex, lastTerm, index, term } = event;
  const snapshot = `snapshot [index: ${index}, term: ${term}]`;
  const long = `${me} [commit: ${commit}, lastindex: ${lastIndex}, lastterm: ${lastTerm}]`;
  if (outcome === 'restored') return info(`${long} restored ${snapshot}`);
  if (outcome === 'fast-forwarded') return info(`${long} fast-forwarded commit to ${snapshot}`);
  return info(`${me} [commit: ${commit}] ${outcome === 'accepted' ? 'restored' : 'ignored'} ${snapshot}`);
}

function stableIgnored({ reason, index, term, ownTerm }: Event<'stable-ignored'>): LogLine {
  if (reason === 'missing') return info(`entry at index ${index} missing from unstable log; ignoring`);
  if (reason === 'snapshot') return info(`entry at index ${index} matched unstable snapshot; ignoring`);
  return info(
    `entry at (index,term)=(${index},${term}) mismatched with entry at (${index},${ownTerm}) in unstable log; ignoring`,
  );
}

function changeRefused(me: string, event: Event<'conf-change-refused'>): LogLine {
  const { change, configuration, refusal, pendingIndex, applied } = event;
  const reasons = {
    'pending-change': `possible unapplied conf change at index ${pendingIndex} (applied to ${applied})`,
    joint: 'must transition out of joint config first',
    'not-joint': 'not in joint state; refusing empty conf change',
    invalid: 'it does not fit the configuration',
    malformed: 'it cannot be decoded',
  };
  const text = change === undefined ? '' : changeText(change);
  return info(`${me} ignoring conf change ${text} at config ${configurationText(configuration)}: ${reasons[refusal]}`);
}

function transfer(me: string, { stage, to, term }: Event<'transfer'>): LogLine {
  const node = hex(to);
  switch (stage) {
    case 'started':
      return info(`${me} [term ${term}] starts to transfer leadership to ${node}`);
    case 'sent-at-once':
      return info(`${me} sends MsgTimeoutNow to ${node} immediately as ${node} already has up-to-date log`);
    case 'sent-after-append':
      return info(`${me} sent MsgTimeoutNow to ${node} after received MsgAppResp`);
    case 'same-node':
      return info(
        `${me} [term ${term}] transfer leadership to ${node} is in progress, ignores request to same node ${node}`,
      );
    case 'aborted':
      return info(`${me} [term ${term}] abort previous transferring leadership to ${node}`);
    case 'self':
      return debug(`${me} is already leader. Ignored transferring leadership to self`);
    case 'learner':
      return debug(`${me} is learner. Ignored transferring leadership`);
    case 'no-leader':
      return info(`${me} no leader at term ${term}; dropping leader transfer msg`);
  }
}
