import { asConfChangeV2, type ConfChange, ConfChangeType, decodeConfChange, Transition } from '../core/conf-change.js';
import {
  type ConfState,
  type Entry,
  EntryType,
  type HardState,
  localAppendThread,
  localApplyThread,
  type Message,
  MessageType,
  type NodeId,
  Role,
  type Snapshot,
} from '../core/message.js';
import type { Ready } from '../core/ready.js';

// How the scripts write what a core works with.

const messageNames: Record<MessageType, string> = {
  [MessageType.hup]: 'MsgHup',
  [MessageType.beat]: 'MsgBeat',
  [MessageType.propose]: 'MsgProp',
  [MessageType.append]: 'MsgApp',
  [MessageType.appendResponse]: 'MsgAppResp',
  [MessageType.vote]: 'MsgVote',
  [MessageType.voteResponse]: 'MsgVoteResp',
  [MessageType.snapshot]: 'MsgSnap',
  [MessageType.heartbeat]: 'MsgHeartbeat',
  [MessageType.heartbeatResponse]: 'MsgHeartbeatResp',
  [MessageType.unreachable]: 'MsgUnreachable',
  [MessageType.snapshotStatus]: 'MsgSnapStatus',
  [MessageType.checkQuorum]: 'MsgCheckQuorum',
  [MessageType.transferLeader]: 'MsgTransferLeader',
  [MessageType.timeoutNow]: 'MsgTimeoutNow',
  [MessageType.readIndex]: 'MsgReadIndex',
  [MessageType.readIndexResponse]: 'MsgReadIndexResp',
  [MessageType.preVote]: 'MsgPreVote',
  [MessageType.preVoteResponse]: 'MsgPreVoteResp',
  [MessageType.storageAppend]: 'MsgStorageAppend',
  [MessageType.storageAppendResponse]: 'MsgStorageAppendResp',
  [MessageType.storageApply]: 'MsgStorageApply',
  [MessageType.storageApplyResponse]: 'MsgStorageApplyResp',
  [MessageType.forgetLeader]: 'MsgForgetLeader',
};

const roleNames: Record<Role, string> = {
  [Role.follower]: 'StateFollower',
  [Role.candidate]: 'StateCandidate',
  [Role.leader]: 'StateLeader',
  [Role.preCandidate]: 'StatePreCandidate',
};

const entryNames: Record<EntryType, string> = {
  [EntryType.normal]: 'EntryNormal',
  [EntryType.confChange]: 'EntryConfChange',
  [EntryType.confChangeV2]: 'EntryConfChangeV2',
};

const changeLetters: Record<ConfChangeType, string> = {
  [ConfChangeType.addNode]: 'v',
  [ConfChangeType.removeNode]: 'r',
  [ConfChangeType.updateNode]: 'u',
  [ConfChangeType.addLearner]: 'l',
};

const changeNames: Record<ConfChangeType, string> = {
  [ConfChangeType.addNode]: 'ConfChangeAddNode',
  [ConfChangeType.removeNode]: 'ConfChangeRemoveNode',
  [ConfChangeType.updateNode]: 'ConfChangeUpdateNode',
  [ConfChangeType.addLearner]: 'ConfChangeAddLearnerNode',
};

const transitionNames: Record<Transition, string> = {
  [Transition.auto]: 'ConfChangeTransitionAuto',
  [Transition.jointImplicit]: 'ConfChangeTransitionJointImplicit',
  [Transition.jointExplicit]: 'ConfChangeTransitionJointExplicit',
};

export function messageName(type: MessageType): string {
  return messageNames[type];
}

/** The type called `name`, or undefined. */
export function messageTypeNamed(name: string): MessageType | undefined {
  return Object.values(MessageType).find((type) => messageNames[type] === name);
}

export function roleName(role: Role): string {
  return roleNames[role];
}

/** Log lines and messages write ids in hexadecimal. */
export function hex(id: NodeId): string {
  return id.toString(16);
}

function end(id: NodeId): string {
  if (id === localAppendThread) return 'AppendThread';
  return id === localApplyThread ? 'ApplyThread' : hex(id);
}

/** `(1 2)&&(1)`, the members and what they are. */
export function configurationText(configuration: ConfState): string {
  const list = (ids: readonly NodeId[]): string => `(${ids.join(' ')})`;
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = configuration;
  let text = `voters=${list(voters)}`;
  if (votersOutgoing.length > 0) text += `&&${list(votersOutgoing)}`;
  if (learners.length > 0) text += ` learners=${list(learners)}`;
  if (learnersNext.length > 0) text += ` learners_next=${list(learnersNext)}`;
  return autoLeave ? `${text} autoleave` : text;
}

/** What `Progress` and `PeerStatus` have in common, with the state by name. */
export interface ProgressView {
  readonly state: string;
  readonly matchIndex: number;
  readonly nextIndex: number;
  readonly isLearner: boolean;
  readonly isPaused: boolean;
  readonly pendingSnapshot: number;
  readonly recentActive: boolean;
  readonly inflight: number;
  readonly isInflightFull: boolean;
}

export function progressText(progress: ProgressView): string {
  const { matchIndex, nextIndex, pendingSnapshot, inflight } = progress;
  let text = `State${progress.state[0]!.toUpperCase()}${progress.state.slice(1)} match=${matchIndex} next=${nextIndex}`;
  if (progress.isLearner) text += ' learner';
  if (progress.isPaused) text += ' paused';
  if (pendingSnapshot > 0) text += ` pendingSnap=${pendingSnapshot}`;
  if (!progress.recentActive) text += ' inactive';
  if (inflight > 0) text += ` inflight=${inflight}${progress.isInflightFull ? '[full]' : ''}`;
  return text;
}

/** As `v1 l2 r3 u4`. */
function changesText(change: ConfChange): string {
  return asConfChangeV2(change)
    .changes.map(({ type, nodeId }) => `${changeLetters[type]}${nodeId}`)
    .join(' ');
}

/** As protobuf's text format has it. */
export function changeText(change: ConfChange): string {
  if (!('changes' in change)) return `type:${changeNames[change.type]} node_id:${change.nodeId}`;
  const changes = change.changes.map(({ type, nodeId }) => ` changes:{type:${changeNames[type]} node_id:${nodeId}}`);
  return `transition:${transitionNames[change.transition ?? Transition.auto]}${changes.join('')}`;
}

function entryText(entry: Entry): string {
  let data: string;
  if (entry.type === EntryType.normal) data = ` ${quoted(entry.data)}`;
  else {
    const change = decodeConfChange(entry.type, entry.data);
    const text = change === undefined ? '<malformed>' : changesText(change);
    data = text === '' ? '' : ` ${text}`;
  }
  return `${entry.term}/${entry.index} ${entryNames[entry.type]}${data}`;
}

export function entriesText(entries: readonly Entry[]): string {
  return entries.map((entry) => `${entryText(entry)}\n`).join('');
}

export function confStateText(state: ConfState): string {
  const list = (ids: readonly NodeId[]): string => `[${ids.join(' ')}]`;
  return `Voters:${list(state.voters)} VotersOutgoing:${list(state.votersOutgoing)} Learners:${list(state.learners)} LearnersNext:${list(state.learnersNext)} AutoLeave:${state.autoLeave}`;
}

function snapshotText({ metadata }: Snapshot): string {
  return `Index:${metadata.index} Term:${metadata.term} ConfState:${confStateText(metadata.confState)}`;
}

function hardStateText({ term, vote, commit }: HardState): string {
  return `Term:${term}${vote === 0 ? '' : ` Vote:${vote}`} Commit:${commit}`;
}

export function messageText(message: Message, indent = ''): string {
  const { type, from, to, term, logTerm, index, commit, vote, entries, snapshot, responses } = message;
  let text = `${indent}${end(from)}->${end(to)} ${messageNames[type]} Term:${term} Log:${logTerm}/${index}`;
  if (message.reject) text += ` Rejected (Hint: ${message.rejectHint})`;
  if (commit > 0) text += ` Commit:${commit}`;
  if (vote > 0) text += ` Vote:${vote}`;
  if (entries.length === 1) text += ` Entries:[${entryText(entries[0]!)}]`;
  else if (entries.length > 1)
    text += ` Entries:[${entries.map((entry) => `\n${indent}  ${entryText(entry)}`).join('')}\n${indent}]`;
  if (snapshot !== undefined) text += `\n${indent}  Snapshot: ${snapshotText(snapshot)}`;
  if (responses.length > 0)
    text += ` Responses:[${responses.map((response) => `\n${messageText(response, `${indent}  `)}`).join('')}\n${indent}]`;
  return text;
}

export function readyText(ready: Ready): string {
  const { softState, hardState, readStates, entries, snapshot, committedEntries } = ready;
  let text = '';
  if (softState !== undefined) text += `Lead:${softState.leader} State:${roleNames[softState.role]}\n`;
  if (hardState !== undefined) text += `HardState ${hardStateText(hardState)}\n`;
  if (readStates.length > 0)
    text += `ReadStates [${readStates.map(({ index, context }) => `{${index} ${context}}`).join(' ')}]\n`;
  if (entries.length > 0) text += `Entries:\n${entriesText(entries)}`;
  if (snapshot !== undefined) text += `Snapshot ${snapshotText(snapshot)}\n`;
  if (committedEntries.length > 0) text += `CommittedEntries:\n${entriesText(committedEntries)}`;
  const messages = [...ready.messages, ...ready.messagesAfterAppend];
  if (messages.length > 0) text += `Messages:\n${messages.map((message) => `${messageText(message)}\n`).join('')}`;
  return text === '' ? '<empty Ready>' : `Ready MustSync=${ready.mustSync}:\n${text}`;
}

const escapes: Record<string, string> = {
  '\u0007': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '\\': '\\\\',
  '"': '\\"',
};

/** Bytes as a quoted string: printable text as it is, the rest escaped. */
function quoted(bytes: Uint8Array): string {
  const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
  if (text.includes('\ufffd')) return `"${[...bytes].map(quotedByte).join('')}"`;
  return `"${[...text].map(quotedRune).join('')}"`;
}

function quotedRune(rune: string): string {
  const known = escapes[rune];
  if (known !== undefined) return known;
  if (rune === ' ' || /^[\p{L}\p{M}\p{N}\p{P}\p{S}]$/u.test(rune)) return rune;
  const code = rune.codePointAt(0)!;
  if (code < 0x80) return `\\x${code.toString(16).padStart(2, '0')}`;
  if (code > 0xffff) return `\\U${code.toString(16).padStart(8, '0')}`;
  return `\\u${code.toString(16).padStart(4, '0')}`;
}

function quotedByte(byte: number): string {
  return byte < 0x80 ? quotedRune(String.fromCharCode(byte)) : `\\x${byte.toString(16)}`;
}
