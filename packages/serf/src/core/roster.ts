import { formatAddress } from './address.js';
import type { Timing } from './config.js';
import { type NodeRecord, readVersions, type Versions } from './members.js';
import type { Endpoint, JoinIntent, LeaveIntent, Tags } from './message.js';

/** `leaving` has announced its leave and still answers; `left` went in order; `failed` was found dead. */
export type MemberStatus = 'alive' | 'leaving' | 'left' | 'failed';

/** A member as the application sees it; a new object for each change. */
export interface Member extends Versions {
  readonly name: string;
  /** IP address. */
  readonly address: string;
  readonly port: number;
  readonly tags: Tags;
  readonly status: MemberStatus;
}

/** A member came, changed or went. */
export interface MemberEvent {
  readonly type: 'member-join' | 'member-leave' | 'member-failed' | 'member-update' | 'member-reap';
  readonly member: Member;
}

interface Row {
  member: Member;
  endpoint: Endpoint;
  /** Lamport time of the newest intent that counted for this member. */
  statusLTime: number;
  /** When it left or failed. */
  goneMs: number;
}

interface Intent {
  readonly kind: 'join' | 'leave';
  readonly lTime: number;
  readonly heardMs: number;
}

/** Intents about members that are not known yet; more are not kept. */
const maxIntents = 8192;

/**
 * The upper layer's view: the lower layer says who is up, intents say who means to leave, and both together tell a
 * leave from a failure. An intent counts only when its Lamport time is newer than the last that counted, so it does
 * not matter in which order, how often, or over whom intents arrive.
 */
export class Roster {
  readonly #rows = new Map<string, Row>();
  readonly #intents = new Map<string, Intent>();
  readonly #timing: Timing;
  readonly #emit: (event: MemberEvent) => void;

  constructor(timing: Timing, emit: (event: MemberEvent) => void) {
    this.#timing = timing;
    this.#emit = emit;
  }

  /** Members of any status: the n of the upper layer's formulas. */
  get size(): number {
    return this.#rows.size;
  }

  get(name: string): Member | undefined {
    return this.#rows.get(name)?.member;
  }

  endpoint(name: string): Endpoint | undefined {
    return this.#rows.get(name)?.endpoint;
  }

  members(): Member[] {
    return Array.from(this.#rows.values(), (row) => row.member);
  }

  count(status: MemberStatus): number {
    let count = 0;
    for (const row of this.#rows.values()) if (row.member.status === status) count++;
    return count;
  }

  withStatus(status: MemberStatus): Member[] {
    return this.members().filter((member) => member.status === status);
  }

  statusLTimes(): Map<string, number> {
    return new Map(Array.from(this.#rows, ([name, row]) => [name, row.statusLTime]));
  }

  alive(record: NodeRecord, tags: Tags, nowMs: number): void {
    const row = this.#rows.get(record.name);
    let status: MemberStatus = 'alive';
    let statusLTime = row?.statusLTime ?? 0;
    if (row === undefined) {
      const intent = this.#recentIntent(record.name, nowMs);
      if (intent !== undefined) {
        statusLTime = intent.lTime;
        if (intent.kind === 'leave') status = 'leaving';
      }
    }
    if (row === undefined && this.#rows.size >= 2 * this.#timing.maxMembers) this.#makeRoom();
    const member = makeMember(record, tags, status);
    this.#rows.set(record.name, { member, endpoint: endpointOf(record), statusLTime, goneMs: 0 });
    this.#emit({ type: 'member-join', member });
  }

  update(record: NodeRecord, tags: Tags): void {
    const row = this.#rows.get(record.name);
    if (row === undefined) return;
    row.member = makeMember(record, tags, row.member.status);
    row.endpoint = endpointOf(record);
    this.#emit({ type: 'member-update', member: row.member });
  }

  /** The lower layer found the member dead, or heard it say goodbye. */
  gone(name: string, nowMs: number): void {
    const row = this.#rows.get(name);
    if (row === undefined) return;
    if (row.member.status === 'leaving') this.#left(row, nowMs);
    else if (row.member.status === 'alive') {
      row.member = { ...row.member, status: 'failed' };
      row.goneMs = nowMs;
      this.#emit({ type: 'member-failed', member: row.member });
    }
  }

  /** Whether the intent was news, and so is to be passed on. */
  join(intent: JoinIntent, nowMs: number): boolean {
    const row = this.#rows.get(intent.node);
    if (row === undefined) return this.#buffer(intent.node, { kind: 'join', lTime: intent.lTime, heardMs: nowMs });
    if (intent.lTime <= row.statusLTime) return false;
    row.statusLTime = intent.lTime;
    if (row.member.status === 'leaving') row.member = { ...row.member, status: 'alive' };
    return true;
  }

  /** Whether the intent was news. The caller handles one about itself, and carries out `prune`. */
  leave(intent: LeaveIntent, nowMs: number): boolean {
    const row = this.#rows.get(intent.node);
    if (row === undefined) return this.#buffer(intent.node, { kind: 'leave', lTime: intent.lTime, heardMs: nowMs });
    if (intent.lTime <= row.statusLTime) return false;
    row.statusLTime = intent.lTime;
    if (row.member.status === 'alive') row.member = { ...row.member, status: 'leaving' };
    else if (row.member.status === 'failed') this.#left(row, nowMs);
    return true;
  }

  /** Lamport time of the newest intent that counted for the member. */
  statusLTime(name: string): number {
    return this.#rows.get(name)?.statusLTime ?? 0;
  }

  /** Forgets a member altogether. */
  erase(name: string): void {
    const row = this.#rows.get(name);
    if (row === undefined) return;
    this.#rows.delete(name);
    this.#emit({ type: 'member-reap', member: row.member });
  }

  /** Forgets who is gone for too long, and intents that nobody waits for any more. */
  reap(nowMs: number): void {
    const { reconnectTimeoutMs, tombstoneTimeoutMs, recentIntentTimeoutMs } = this.#timing;
    for (const [name, { member, goneMs }] of this.#rows) {
      const goneForMs = nowMs - goneMs;
      if (member.status === 'failed' && goneForMs > reconnectTimeoutMs) this.erase(name);
      else if (member.status === 'left' && goneForMs > tombstoneTimeoutMs) this.erase(name);
    }
    for (const [name, intent] of this.#intents)
      if (nowMs - intent.heardMs > recentIntentTimeoutMs) this.#intents.delete(name);
  }

  /** Forgets the quarter that is gone for longest: names can be made up faster than they expire. */
  #makeRoom(): void {
    const gone = Array.from(this.#rows).filter(
      ([, { member }]) => member.status === 'failed' || member.status === 'left',
    );
    gone.sort(([, a], [, b]) => a.goneMs - b.goneMs);
    for (const [name] of gone.slice(0, Math.ceil(gone.length / 4))) this.erase(name);
  }

  #left(row: Row, nowMs: number): void {
    row.member = { ...row.member, status: 'left' };
    row.goneMs = nowMs;
    this.#emit({ type: 'member-leave', member: row.member });
  }

  #buffer(name: string, intent: Intent): boolean {
    const known = this.#intents.get(name);
    if (known === undefined ? this.#intents.size >= maxIntents : intent.lTime <= known.lTime) return false;
    this.#intents.set(name, intent);
    return true;
  }

  #recentIntent(name: string, nowMs: number): Intent | undefined {
    const intent = this.#intents.get(name);
    this.#intents.delete(name);
    const isRecent = intent !== undefined && nowMs - intent.heardMs <= this.#timing.recentIntentTimeoutMs;
    return isRecent ? intent : undefined;
  }
}

function makeMember(record: NodeRecord, tags: Tags, status: MemberStatus): Member {
  const { name, port } = record;
  return { name, address: formatAddress(record.addr), port, tags, status, ...readVersions(record.vsn) };
}

function endpointOf(record: NodeRecord): Endpoint {
  return { addr: record.addr, port: record.port };
}
