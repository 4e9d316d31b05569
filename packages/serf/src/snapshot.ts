import { type FileHandle, open, readFile, rename } from 'node:fs/promises';
import type { Clock, Logger } from '@dcache/base';
import type { Member } from './core/roster.js';
import type { ClockTimes } from './core/serf.js';
import { SerfError } from './errors.js';
import type { ResolvedOptions } from './options.js';

/*
 * Lines, appended as things happen; the agent's own format:
 *
 *     alive: NAME HOST:PORT      not-alive: NAME      clock: N      event-clock: N      query-clock: N      leave
 *
 * Others, and those that begin with "#" or "coordinate:", are passed over.
 */
const flushMs = 500;
const clockCheckMs = 500;
const minCompactBytes = 128 * 1024;
const compactBytesPerMember = 256;
/** Lines that wait for a slow disk; further ones make the file be written anew instead. */
const maxPendingLines = 65_536;

export interface SnapshotLife {
  readonly clock: Clock;
  readonly clocks: () => ClockTimes;
  readonly alive: () => readonly Member[];
  readonly rejoin: (address: string) => Promise<number>;
  /** This member's name: it is not to be found again. */
  readonly name: string;
  readonly isRunning: () => boolean;
}

/** Remembers who was in the pool and what was seen, so that a restarted member finds back and repeats nothing. */
export class Snapshot {
  readonly #path: string;
  readonly #logger: Logger;
  #file: FileHandle;
  #bytes: number;
  #pending: string[] = [];
  #writing: Promise<void> = Promise.resolve();
  #compactWanted = false;
  #life: SnapshotLife | undefined;
  #cancel: (() => void)[] = [];
  #last: ClockTimes = { member: 0, event: 0, query: 0 };
  #hasLeft = false;
  /** Members alive at the last run: name to `host:port`. */
  readonly #known: ReadonlyMap<string, string>;
  readonly clocks: ClockTimes;

  private constructor(path: string, logger: Logger, file: FileHandle, bytes: number, replayed: Replayed) {
    this.#path = path;
    this.#logger = logger;
    this.#file = file;
    this.#bytes = bytes;
    this.#known = replayed.alive;
    this.clocks = replayed.clocks;
  }

  static async open(options: ResolvedOptions): Promise<Snapshot | undefined> {
    const { snapshotPath: path, rejoinAfterLeave, logger } = options;
    if (path === undefined) return undefined;
    try {
      const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return '';
        throw error;
      });
      const file = await open(path, 'a', 0o600);
      return new Snapshot(path, logger, file, Buffer.byteLength(text), replay(text, rejoinAfterLeave));
    } catch (cause) {
      throw new SerfError('io', `the snapshot ${path} cannot be used: ${(cause as Error).message}`, { cause });
    }
  }

  /** Begins to write, and tries the members of the last run one after the other until one lets this one in. */
  start(life: SnapshotLife): void {
    this.#life = life;
    this.#cancel = [
      life.clock.every(clockCheckMs, () => this.#checkClocks()),
      life.clock.every(flushMs, () => this.#flush()),
    ];
    this.#rejoin(life).catch((error: Error) => this.#logger.warn({ error: error.message }, 'the rejoin ended'));
  }

  memberChanged(type: string, member: Member): void {
    if (type === 'member-join' || type === 'member-update') this.#append(aliveLine(member));
    else if (type === 'member-leave' || type === 'member-failed') this.#append(`not-alive: ${member.name}`);
  }

  /** This member leaves the pool on purpose, so the next run does not rejoin. */
  left(): void {
    this.#checkClocks();
    this.#append('leave');
    this.#hasLeft = true;
  }

  async close(): Promise<void> {
    for (const cancel of this.#cancel) cancel();
    if (!this.#hasLeft) this.#checkClocks();
    this.#flush();
    await this.#writing;
    await this.#file.close();
  }

  async #rejoin(life: SnapshotLife): Promise<void> {
    for (const [name, address] of this.#known) {
      if (!life.isRunning()) return;
      if (name === life.name) continue;
      try {
        await life.rejoin(address);
        this.#logger.info({ name, address }, 'rejoined the pool of the last run');
        return;
      } catch (error) {
        this.#logger.warn({ name, address, error: (error as Error).message }, 'a member of the last run is not there');
      }
    }
  }

  #checkClocks(): void {
    const now = this.#life?.clocks();
    if (now === undefined) return;
    // A clock shows the next time; what was seen is one less.
    if (now.member !== this.#last.member) this.#append(`clock: ${now.member - 1}`);
    if (now.event !== this.#last.event) this.#append(`event-clock: ${now.event - 1}`);
    if (now.query !== this.#last.query) this.#append(`query-clock: ${now.query - 1}`);
    this.#last = now;
  }

  #append(line: string): void {
    // A name with a line break would be read as something else.
    if (this.#hasLeft || line.includes('\n')) return;
    if (this.#pending.length >= maxPendingLines) {
      this.#pending = [];
      this.#compactWanted = true;
    }
    this.#pending.push(`${line}\n`);
  }

  #flush(): void {
    if (this.#pending.length === 0) return;
    const text = this.#pending.join('');
    this.#pending = [];
    this.#writing = this.#writing
      .then(() => this.#write(text))
      .catch((error: Error) => {
        this.#logger.error({ path: this.#path, error: error.message }, 'the snapshot could not be written');
      });
  }

  async #write(text: string): Promise<void> {
    await this.#file.appendFile(text);
    this.#bytes += Buffer.byteLength(text);
    const members = this.#life?.alive() ?? [];
    const limit = Math.max(minCompactBytes, compactBytesPerMember * members.length);
    if ((this.#bytes > limit || this.#compactWanted) && !this.#hasLeft) await this.#compact(members);
  }

  /** Writes what holds now into a new file and puts it in the old one's place. */
  async #compact(members: readonly Member[]): Promise<void> {
    const { member, event, query } = this.#last;
    const lines = [...members.map(aliveLine), `clock: ${member - 1}`, `event-clock: ${event - 1}`];
    const text = `${[...lines, `query-clock: ${query - 1}`].join('\n')}\n`;
    const draft = await open(`${this.#path}.compact`, 'w', 0o600);
    try {
      await draft.appendFile(text);
      await draft.sync();
    } finally {
      await draft.close();
    }
    await this.#file.close();
    await rename(`${this.#path}.compact`, this.#path);
    this.#file = await open(this.#path, 'a', 0o600);
    this.#bytes = Buffer.byteLength(text);
    this.#compactWanted = false;
  }
}

function aliveLine(member: Member): string {
  const host = member.address.includes(':') ? `[${member.address}]` : member.address;
  return `alive: ${member.name} ${host}:${member.port}`;
}

interface Replayed {
  readonly alive: ReadonlyMap<string, string>;
  readonly clocks: ClockTimes;
}

/** Reads the lines in order; a last one that was cut by a crash is passed over. */
export function replay(text: string, rejoinAfterLeave: boolean): Replayed {
  const alive = new Map<string, string>();
  const clocks = { member: 0, event: 0, query: 0 };
  const lines = text.split('\n');
  lines.pop();
  for (const line of lines) {
    const entry = /^(alive|not-alive|clock|event-clock|query-clock): (.*)$/.exec(line);
    if (entry === null) {
      if (line !== 'leave' || rejoinAfterLeave) continue;
      alive.clear();
      Object.assign(clocks, { member: 0, event: 0, query: 0 });
      continue;
    }
    const [, kind, value] = entry as unknown as [string, string, string];
    const number = /^\d{1,15}$/.test(value) ? Number(value) : 0;
    // The address has no blank, a name may have some.
    const blank = value.lastIndexOf(' ');
    if (kind === 'alive' && blank > 0) alive.set(value.slice(0, blank), value.slice(blank + 1));
    else if (kind === 'not-alive') alive.delete(value);
    else if (kind === 'clock') clocks.member = Math.max(clocks.member, number);
    else if (kind === 'event-clock') clocks.event = Math.max(clocks.event, number);
    else if (kind === 'query-clock') clocks.query = Math.max(clocks.query, number);
  }
  return { alive, clocks };
}
