import { utf8 } from '@dcache/base';
import { Transition } from '../core/conf-change.js';
import { isVoter } from '../core/configuration.js';
import { type NodeId, noBytes } from '../core/message.js';
import { firstNodeId, flag, nodeIds, optionValue, optionValues, parseChanges, wholeNumber } from './arguments.js';
import { Cluster, type MemberOptions, ScriptError, unlimited } from './cluster.js';
import { levels } from './log-line.js';
import { messageTypeNamed, progressText, roleName } from './render.js';
import type { Directive } from './script.js';

type Command = (cluster: Cluster, directive: Directive) => void;

type Writable<T> = { -readonly [K in keyof T]: T[K] };

const commands: ReadonlyMap<string, Command> = new Map<string, Command>([
  // A place in a script where whoever looks into it may stop a debugger.
  ['_breakpoint', () => {}],
  ['add-nodes', addNodes],
  ['campaign', (cluster, directive) => cluster.node(firstNodeId(directive)).campaign()],
  ['compact', compact],
  ['deliver-msgs', deliverMessages],
  ['process-ready', forEachNode('handling Ready', (cluster, id) => cluster.processReady(id))],
  ['process-append-thread', forEachNode('processing append thread', (cluster, id) => cluster.processAppendThread(id))],
  ['process-apply-thread', forEachNode('processing apply thread', (cluster, id) => cluster.processApplyThread(id))],
  ['log-level', (cluster, directive) => setLevel(cluster, directive.arguments[0]?.key ?? '')],
  ['raft-log', (cluster, directive) => cluster.writeLog(firstNodeId(directive))],
  ['raft-state', writeState],
  ['set-randomized-election-timeout', setElectionTimeout],
  ['stabilize', stabilize],
  ['status', writeStatus],
  ['tick-election', (cluster, directive) => tick(cluster, directive, unlimited.electionTicks!)],
  ['tick-heartbeat', (cluster, directive) => tick(cluster, directive, unlimited.heartbeatTicks!)],
  ['transfer-leadership', transferLeadership],
  ['forget-leader', (cluster, directive) => cluster.node(firstNodeId(directive)).forgetLeader()],
  ['send-snapshot', sendSnapshot],
  ['propose', propose],
  ['propose-conf-change', proposeConfChange],
  ['report-unreachable', reportUnreachable],
]);

export const interactionCommands: ReadonlySet<string> = new Set(commands.keys());

/** Runs the commands of one script that drives a cluster. */
export class Interaction {
  readonly #cluster: Cluster = new Cluster();

  /** What the command prints; `ok` when nothing. */
  run(directive: Directive): string {
    const { output } = this.#cluster;
    let failure = '';
    try {
      const command = commands.get(directive.command);
      if (command === undefined) throw new ScriptError('unknown command');
      command(this.#cluster, directive);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      failure = error.message;
    }
    const text = output.take() + failure;
    return text === '' ? 'ok' : text;
  }
}

/** No script has nearly as many; a larger number is a slip, and must not take all memory. */
const maxNodes = 1000;

function addNodes(cluster: Cluster, directive: Directive): void {
  const count = wholeNumber(directive.arguments[0]?.key ?? '');
  if (cluster.size + count > maxNodes) throw new ScriptError(`a script has at most ${maxNodes} nodes`);
  const options: Writable<MemberOptions> = { ...unlimited };
  let index = 0;
  let data = noBytes;
  let voters: readonly NodeId[] = [];
  let learners: readonly NodeId[] = [];
  for (const { key, values } of directive.arguments.slice(1)) {
    const value = values[0] ?? '';
    if (key === 'voters') voters = values.map(wholeNumber);
    else if (key === 'learners') learners = values.map(wholeNumber);
    else if (key === 'index') index = wholeNumber(value);
    else if (key === 'content') data = utf8(value);
    else setOption(options, key, value);
  }
  const confState = { voters, learners, votersOutgoing: [], learnersNext: [], autoLeave: false };
  const isBootstrap = voters.length > 0 || learners.length > 0 || index > 0 || data.length > 0;
  cluster.add(count, options, isBootstrap ? { metadata: { index, term: 1, confState }, data } : undefined);
}

function setOption(options: Writable<MemberOptions>, key: string, value: string): void {
  switch (key) {
    case 'inflight':
      options.maxInflightMessages = wholeNumber(value);
      return;
    case 'async-storage-writes':
      options.asyncStorageWrites = flag(value);
      return;
    case 'prevote':
      options.preVote = flag(value);
      return;
    case 'checkquorum':
      options.checkQuorum = flag(value);
      return;
    case 'read-only':
      if (value !== 'safe' && value !== 'lease-based') throw new ScriptError(`invalid read-only option "${value}"`);
      options.readOnly = value === 'safe' ? 'safe' : 'lease';
      return;
    case 'max-committed-size-per-ready':
      options.maxCommittedSizePerReady = wholeNumber(value);
      return;
    case 'disable-conf-change-validation':
      options.disableConfChangeValidation = flag(value);
      return;
    case 'step-down-on-removal':
      options.stepDownOnRemoval = flag(value);
      return;
    default:
      throw new ScriptError(`unknown argument ${key}`);
  }
}

function compact(cluster: Cluster, directive: Directive): void {
  const [id, index] = nodeIds(directive);
  if (id === undefined || index === undefined) throw new ScriptError('compact takes a node and an index');
  cluster.compact(id, index);
}

function deliverMessages(cluster: Cluster, directive: Directive): void {
  const name = optionValue(directive, 'type');
  const type = name === undefined ? undefined : messageTypeNamed(name);
  if (name !== undefined && type === undefined) throw new ScriptError(`unknown message type ${name}`);
  const recipients: { readonly id: NodeId; readonly isDropped: boolean }[] = [];
  for (const { key, values } of directive.arguments) {
    if (values.length === 0) recipients.push({ id: wholeNumber(key), isDropped: false });
    else if (key === 'drop') for (const value of values) recipients.push({ id: wholeNumber(value), isDropped: true });
    else if (key !== 'type') throw new ScriptError(`unknown argument ${key}`);
  }
  for (const { id, isDropped } of recipients)
    if (isDropped && recipients.some((other) => other.id === id && !other.isDropped))
      throw new ScriptError(`can't both deliver and drop msgs to ${id}`);
  let count = 0;
  for (const { id, isDropped } of recipients) count += cluster.deliver(id, type, isDropped);
  if (count === 0) cluster.output.write('no messages\n');
}

/** One node's output as it is; with several, each under a title. */
function forEachNode(title: string, run: (cluster: Cluster, id: NodeId) => void): Command {
  return (cluster, directive) => {
    const ids = nodeIds(directive);
    for (const id of ids) {
      if (ids.length === 1) {
        run(cluster, id);
        continue;
      }
      cluster.output.write(`> ${id} ${title}\n`);
      cluster.output.indented(() => run(cluster, id));
    }
  };
}

function setLevel(cluster: Cluster, name: string): void {
  const level = levels.find((known) => known === name.toUpperCase());
  if (level === undefined) throw new ScriptError(`log levels must be either of [${levels.join(' ')}]`);
  cluster.output.level = level;
}

function stabilize(cluster: Cluster, directive: Directive): void {
  const before = cluster.output.level;
  const level = optionValue(directive, 'log-level');
  if (level !== undefined) setLevel(cluster, level);
  try {
    cluster.stabilize(nodeIds(directive));
  } finally {
    cluster.output.level = before;
  }
}

function writeState(cluster: Cluster): void {
  for (let id = 1; id <= cluster.size; id++) {
    const { role, term, leader, confState } = cluster.node(id).status();
    const voter = isVoter(confState, id) ? 'Voter' : 'Non-Voter';
    cluster.output.write(`${id}: ${roleName(role)} (${voter}) Term:${term} Lead:${leader}\n`);
  }
}

function writeStatus(cluster: Cluster, directive: Directive): void {
  for (const peer of cluster.node(firstNodeId(directive)).status().peers)
    cluster.output.write(`${peer.id}: ${progressText(peer)}\n`);
}

function setElectionTimeout(cluster: Cluster, directive: Directive): void {
  const timeout = optionValue(directive, 'timeout');
  if (timeout === undefined) throw new ScriptError('set-randomized-election-timeout takes timeout=');
  cluster.node(firstNodeId(directive)).setRandomizedElectionTicks(wholeNumber(timeout));
}

function tick(cluster: Cluster, directive: Directive, ticks: number): void {
  const node = cluster.node(firstNodeId(directive));
  for (let i = 0; i < ticks; i++) node.tick();
}

function transferLeadership(cluster: Cluster, directive: Directive): void {
  const from = optionValue(directive, 'from');
  const to = optionValue(directive, 'to');
  if (from === undefined || to === undefined) throw new ScriptError('transfer-leadership takes from= and to=');
  cluster.node(wholeNumber(from)).transferLeader(wholeNumber(to));
}

function sendSnapshot(cluster: Cluster, directive: Directive): void {
  const [from, to] = nodeIds(directive);
  if (from === undefined || to === undefined) throw new ScriptError('send-snapshot takes two nodes');
  cluster.sendSnapshot(from, to);
}

function propose(cluster: Cluster, directive: Directive): void {
  const [node, data, ...more] = directive.arguments;
  if (node === undefined || data === undefined || data.values.length > 0 || more.length > 0)
    throw new ScriptError('propose takes a node and one word');
  cluster.propose(wholeNumber(node.key), utf8(data.key));
}

const transitions: ReadonlyMap<string, Transition> = new Map([
  ['auto', Transition.auto],
  ['implicit', Transition.jointImplicit],
  ['explicit', Transition.jointExplicit],
]);

function proposeConfChange(cluster: Cluster, directive: Directive): void {
  const name = optionValue(directive, 'transition') ?? 'auto';
  const transition = transitions.get(name);
  if (transition === undefined) throw new ScriptError(`unknown transition ${name}`);
  for (const { key, values } of directive.arguments)
    if (values.length > 0 && key !== 'v1' && key !== 'transition') throw new ScriptError(`unknown command ${key}`);
  const changes = parseChanges(directive.input);
  const id = firstNodeId(directive);
  if (!flag(optionValues(directive, 'v1')?.[0] ?? 'false')) {
    cluster.proposeConfChange(id, { transition, changes });
    return;
  }
  const [change, ...more] = changes;
  if (change === undefined || more.length > 0 || transition !== Transition.auto)
    throw new ScriptError('v1 conf change can only have one operation and no transition');
  cluster.proposeConfChange(id, change);
}

function reportUnreachable(cluster: Cluster, directive: Directive): void {
  const [id, peer] = nodeIds(directive);
  if (id === undefined || peer === undefined) throw new ScriptError('report-unreachable takes two nodes');
  cluster.node(id).reportUnreachable(peer);
}
