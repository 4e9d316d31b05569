import { createHash, timingSafeEqual } from 'node:crypto';
import type { Socket } from 'node:net';
import { matchesPattern } from '../core/pattern.js';
import type { Member } from '../core/roster.js';
import type { KeyReport } from '../keys.js';
import type { Serf } from '../node.js';
import type { MsgpackWriter } from '../wire/msgpack.js';
import type { QueryRegister } from './query-register.js';
import { header, writeCoordinateReply, writeKeyReport, writeMembers, writeSections } from './reply.js';
import { RequestReader, type RpcRequest } from './request.js';
import { EventStream, LogStream, type RpcStream } from './streams.js';

const rpcVersion = 1;
const nsPerMs = 1_000_000;
/** A client that reads slower than events come is cut off at this. */
const maxUnsentBytes = 8 * 1024 * 1024;
const maxStreams = 64;
/** Requests of one client that wait for their answers. */
const maxWaiting = 256;

export interface SessionSetup {
  readonly serf: Serf;
  readonly authKey: string | undefined;
  readonly queries: QueryRegister;
}

/** One client of the RPC, from its handshake to its end. */
export class RpcSession {
  readonly #setup: SessionSetup;
  readonly #socket: Socket;
  readonly #reader = new RequestReader();
  readonly #streams = new Map<number, RpcStream>();
  #hasShakenHands = false;
  #isTrusted: boolean;
  #waiting = 0;

  constructor(socket: Socket, setup: SessionSetup) {
    this.#socket = socket;
    this.#setup = setup;
    this.#isTrusted = setup.authKey === undefined;
    socket.on('data', (chunk) => this.#onData(chunk));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      for (const stream of this.#streams.values()) stream.stop();
      this.#streams.clear();
    });
  }

  #onData(chunk: Uint8Array): void {
    try {
      for (const request of this.#reader.push(chunk)) this.#onRequest(request);
    } catch {
      // What follows bytes that are no request cannot be told apart from them.
      this.#socket.destroy();
    }
  }

  #onRequest(request: RpcRequest): void {
    const { seq } = request;
    if (this.#waiting >= maxWaiting) {
      this.#send(header(seq, 'Too many requests wait for their answers'));
      return;
    }
    this.#waiting++;
    this.#answer(request)
      .catch((error: Error) => this.#send(header(seq, error.message)))
      .finally(() => {
        this.#waiting--;
      });
  }

  async #answer({ command, seq, body }: RpcRequest): Promise<void> {
    const { serf, authKey, queries } = this.#setup;
    if (command === 'handshake') {
      if (this.#hasShakenHands) throw new Error('Handshake already performed');
      if (body.version !== rpcVersion) throw new Error('Unsupported IPC version');
      this.#hasShakenHands = true;
      this.#send(header(seq));
      return;
    }
    if (!this.#hasShakenHands) throw new Error('Handshake required');
    if (command === 'auth') {
      if (authKey !== undefined && !sameSecret(body.authKey, authKey)) throw new Error('Invalid authentication token');
      this.#isTrusted = true;
      this.#send(header(seq));
      return;
    }
    if (!this.#isTrusted) throw new Error('Authentication required');

    switch (command) {
      case 'members':
        this.#send(writeMembers(header(seq).map(1).text('Members'), serf.members()));
        break;
      case 'members-filtered': {
        const members = serf.members().filter((member) => isWanted(member, body));
        this.#send(writeMembers(header(seq).map(1).text('Members'), members));
        break;
      }
      case 'event':
        serf.userEvent(body.name, body.payload, { coalesce: body.coalesce });
        this.#send(header(seq));
        break;
      case 'force-leave':
        await serf.forceLeave(body.node, { prune: body.prune });
        this.#send(header(seq));
        break;
      case 'join': {
        const joined = await serf.join(body.existing, { replay: body.replay });
        this.#send(header(seq).map(1).text('Num').int(joined));
        break;
      }
      case 'leave':
        await serf.leave();
        this.#send(header(seq));
        break;
      case 'tags': {
        const tags = new Map(serf.tags);
        for (const tag of body.deleteTags) tags.delete(tag);
        for (const [tag, value] of body.tags) tags.set(tag, value);
        await serf.setTags(tags);
        this.#send(header(seq));
        break;
      }
      case 'query':
        await this.#query(seq, body);
        break;
      case 'respond': {
        const query = queries.get(body.id);
        if (query === undefined) throw new Error('Invalid query ID');
        query.respond(body.payload);
        this.#send(header(seq));
        break;
      }
      case 'stream':
        this.#open(seq, () => new EventStream(serf, body.type, queries, (write) => this.#send(write(header(seq)))));
        break;
      case 'monitor':
        this.#open(seq, () => new LogStream(serf, (line) => this.#send(header(seq).map(1).text('Log').text(line))));
        break;
      case 'stop':
        this.#streams.get(body.stop)?.stop();
        this.#streams.delete(body.stop);
        this.#send(header(seq));
        break;
      case 'install-key':
        this.#sendReport(seq, await serf.keys.install(body.key));
        break;
      case 'use-key':
        this.#sendReport(seq, await serf.keys.use(body.key));
        break;
      case 'remove-key':
        this.#sendReport(seq, await serf.keys.remove(body.key));
        break;
      case 'list-keys':
        this.#sendReport(seq, await serf.keys.list());
        break;
      case 'stats':
        this.#send(writeSections(header(seq), sections(serf)));
        break;
      case 'get-coordinate':
        this.#send(writeCoordinateReply(header(seq), serf.coordinate(body.node)));
        break;
      default:
        throw new Error('Unsupported command');
    }
  }

  /** The answer says that the query runs; acks and answers follow under the same number, then `done`. */
  async #query(seq: number, body: RpcRequest['body']): Promise<void> {
    if (body.name.startsWith('_serf_') && body.name !== '_serf_ping')
      throw new Error(`Queries cannot contain the '_serf_' prefix`);
    const handle = this.#setup.serf.query(body.name, body.payload, {
      filters: { nodes: body.filterNodes, tags: Object.fromEntries(body.filterTags) },
      ack: body.requestAck,
      relayFactor: body.relayFactor,
      ...(body.timeout > 0 ? { timeoutMs: body.timeout / nsPerMs } : {}),
    });
    this.#socket.once('close', () => handle.close());
    this.#send(header(seq));
    for await (const item of handle) {
      const out = header(seq).map(3).text('From').text(item.from).text('Payload');
      if (item.type === 'response') out.bytes(item.payload);
      else out.nil();
      this.#send(out.text('Type').text(item.type));
    }
    this.#send(header(seq).map(3).text('From').text('').text('Payload').nil().text('Type').text('done'));
  }

  #open(seq: number, make: () => RpcStream): void {
    if (this.#streams.has(seq)) throw new Error('Stream with given sequence exists');
    if (this.#streams.size >= maxStreams) throw new Error(`One client opens at most ${maxStreams} streams`);
    this.#send(header(seq));
    this.#streams.set(seq, make());
  }

  #sendReport(seq: number, report: KeyReport): void {
    const isComplete = report.errors === 0 && report.answers === report.nodes;
    const error = isComplete
      ? ''
      : `${report.errors} of ${report.nodes} members reported a failure, ${report.answers} answered`;
    this.#send(writeKeyReport(header(seq, error), report));
  }

  #send(out: MsgpackWriter): void {
    if (this.#socket.destroyed) return;
    this.#socket.write(out.copy());
    if (this.#socket.writableLength > maxUnsentBytes) this.#socket.destroy();
  }
}

/** Filters of `serf members` are anchored, unlike those of a query. */
function isWanted(member: Member, body: RpcRequest['body']): boolean {
  const matches = (expression: string, value: string): boolean =>
    expression === '' || matchesPattern(`^(?:${expression})$`, value);
  if (!matches(body.name, member.name) || !matches(body.status, member.status)) return false;
  for (const [tag, expression] of body.tags) if (!matches(expression, member.tags.get(tag) ?? '')) return false;
  return true;
}

function sections(serf: Serf): Record<string, Map<string, string>> {
  const stats = serf.stats();
  const texts = (values: Record<string, unknown>): Map<string, string> =>
    new Map(Object.entries(values).map(([key, value]) => [key, String(value)]));
  return {
    agent: texts({ name: serf.localMember().name }),
    event_handlers: new Map(),
    runtime: texts({ os: process.platform, arch: process.arch, version: process.version, pid: process.pid }),
    serf: texts({
      members: stats.members,
      failed: stats.failed,
      left: stats.left,
      health_score: stats.healthScore,
      member_time: stats.memberTime,
      event_time: stats.eventTime,
      query_time: stats.queryTime,
      intent_queue: stats.queuedIntents,
      event_queue: stats.queuedEvents,
      query_queue: stats.queuedQueries,
      encrypted: stats.encrypted,
    }),
    tags: new Map(serf.tags),
  };
}

function sameSecret(given: string, expected: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}
