import type { RegisterAction } from './checker/model.js';
import type { HistoryRecorder } from './history.js';
import type { SimNode } from './node.js';
import type { Scheduler } from './scheduler.js';

/** What a client needs of the cluster. */
export interface ClientWorld {
  readonly scheduler: Scheduler;
  readonly history: HistoryRecorder<RegisterAction>;
  /** Nodes that a client may ask, up or down. */
  nodes(): readonly SimNode[];
  note(text: string): void;
  /** A number that no read of this run had. */
  nextContext(): number;
  /** A number that no client of this run had. */
  nextClient(): number;
  /** A value that nothing of this run wrote. */
  nextValue(): string;
}

export const keys: readonly string[] = ['x', 'y', 'z'];

/** How often one operation is tried, at one node after the other, before the client gives up. */
const maxAttempts = 6;
const minTimeoutMs = 60;
const maxTimeoutMs = 400;

/**
 * One client: it asks for one thing at a time, of any node, and repeats a request that is refused or not answered, a
 * write under the same session and sequence. What it gives up stays open in the history, and it goes on as a new client.
 */
export class SimClient {
  readonly #world: ClientWorld;
  readonly #seen = new Map<string, string>();
  #id: number;
  #sequence = 0;
  #favourite: SimNode | undefined;
  #isStopped = false;
  #isWorking = false;

  constructor(world: ClientWorld) {
    this.#world = world;
    this.#id = world.nextClient();
  }

  get isIdle(): boolean {
    return !this.#isWorking;
  }

  /** Works until `stop`. */
  start(): void {
    this.#isStopped = false;
    this.#next();
  }

  stop(): void {
    this.#isStopped = true;
  }

  #next(): void {
    const { scheduler } = this.#world;
    scheduler.after(scheduler.between(0, 30), () => {
      if (this.#isStopped) return;
      const key = scheduler.pick(keys);
      if (scheduler.chance(0.5)) this.read(key, () => this.#next());
      else this.write(key, () => this.#next());
    });
  }

  /** Asks `node` once if it is given, else one node after the other. */
  read(key: string, done: (ok: boolean) => void, node?: SimNode): void {
    const { history, nextContext } = this.#world;
    const operation = history.invoke(String(this.#id), key, { f: 'read', value: undefined });
    this.#attempt(
      `read ${key}`,
      node === undefined ? maxAttempts : 1,
      node,
      (asked, answer) =>
        asked.read(key, nextContext(), (result) =>
          answer(result.status, () => {
            if (result.status !== 'ok') return;
            this.#seen.set(key, result.value);
            history.ok(operation, { f: 'read', value: result.value });
          }),
        ),
      (ok) => {
        if (!ok) history.fail(operation);
        done(ok);
      },
    );
  }

  write(key: string, done: (ok: boolean) => void): void {
    const { scheduler, history, nextValue, nextClient } = this.#world;
    const value = nextValue();
    const expected = scheduler.chance(0.3) ? (this.#seen.get(key) ?? 'nil') : undefined;
    const asked: RegisterAction =
      expected === undefined ? { f: 'write', value } : { f: 'cas', from: expected, to: value, swapped: undefined };
    const operation = history.invoke(String(this.#id), key, asked);
    const command = { client: this.#id, sequence: ++this.#sequence, key, expected, value };
    this.#attempt(
      `write ${value} to ${key}`,
      maxAttempts,
      undefined,
      (node, answer) =>
        node.write(command, (result) =>
          answer(result.status, () => {
            if (result.status !== 'ok') return;
            if (result.value) this.#seen.set(key, value);
            history.ok(operation, asked.f === 'cas' ? { ...asked, swapped: result.value } : asked);
          }),
        ),
      (ok) => {
        // The command may still be under way: this session must not go on behind it.
        if (!ok) this.#id = nextClient();
        done(ok);
      },
    );
  }

  /** Tries nodes until one answers; each attempt counts the first thing that happens to it. */
  #attempt(
    what: string,
    left: number,
    only: SimNode | undefined,
    ask: (node: SimNode, answer: (status: 'ok' | 'refused' | 'lost', accept: () => void) => void) => void,
    done: (ok: boolean) => void,
  ): void {
    const { scheduler } = this.#world;
    this.#isWorking = true;
    if (left === 0) {
      this.#isWorking = false;
      done(false);
      return;
    }
    const nodes = this.#world.nodes();
    const isKnown = this.#favourite !== undefined && nodes.includes(this.#favourite);
    const node = only ?? (isKnown && scheduler.chance(0.7) ? this.#favourite! : scheduler.pick(nodes));
    let isOver = false;
    const again = (delayMs: number): void => {
      isOver = true;
      this.#favourite = undefined;
      scheduler.after(delayMs, () => this.#attempt(what, left - 1, only, ask, done));
    };
    const cancel = scheduler.after(scheduler.between(minTimeoutMs, maxTimeoutMs), () => again(0));
    ask(node, (status, accept) => {
      if (isOver) return;
      cancel();
      if (status !== 'ok') {
        again(scheduler.between(5, 60));
        return;
      }
      isOver = true;
      this.#favourite = node;
      this.#isWorking = false;
      this.#world.note(`client ${this.#id} ${what} answered by ${node.id}`);
      accept();
      done(true);
    });
  }
}
