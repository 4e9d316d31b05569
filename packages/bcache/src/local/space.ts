import { rankOf, type Version } from '../core/change.js';
import type { KeyIndex } from './key-index.js';

/** Whether values of a namespace travel, or stay where they were loaded. */
export type SpaceMode = 'replicate' | 'invalidate';

/** The version of something that is gone, kept so that nothing older comes back. */
export interface Tombstone extends Version {
  readonly dot: number;
  /** Monotonic time when this node learned of it; it is kept for `deletionDelayMs` from then on. */
  readonly atMs: number;
}

/** One namespace: where its keys are, and what was deleted in it. */
export class Space {
  readonly id: number;
  readonly name: string;
  mode: SpaceMode = 'replicate';
  readonly index: KeyIndex;
  readonly tombstones: Map<string, Tombstone> = new Map();
  /** Everything older is gone. Kept for good: there is one a namespace. */
  cleared: Tombstone | undefined;
  readonly invalidated: Map<string, Tombstone> = new Map();
  /** Slots of the living entries of each tag. */
  readonly tagged: Map<string, Set<number>> = new Map();

  constructor(id: number, name: string, index: KeyIndex) {
    this.id = id;
    this.name = name;
    this.index = index;
  }
}

/** Maps the names of origins to small numbers, of which an entry holds one. Those nobody uses are given out again. */
export class Names {
  readonly #names: (string | undefined)[] = [];
  readonly #ranks: number[] = [];
  readonly #ids = new Map<string, number>();
  readonly #free: number[] = [];

  get size(): number {
    return this.#ids.size;
  }

  id(name: string): number {
    let id = this.#ids.get(name);
    if (id === undefined) {
      id = this.#free.pop() ?? this.#names.length;
      this.#names[id] = name;
      this.#ranks[id] = rankOf(name);
      this.#ids.set(name, id);
    }
    return id;
  }

  name(id: number): string {
    return this.#names[id]!;
  }

  rank(id: number): number {
    return this.#ranks[id]!;
  }

  /** Forgets all names whose numbers are not in `used`. */
  retain(used: ReadonlySet<number>): void {
    for (const [name, id] of this.#ids) {
      if (used.has(id)) continue;
      this.#ids.delete(name);
      this.#names[id] = undefined;
      this.#free.push(id);
    }
  }
}
