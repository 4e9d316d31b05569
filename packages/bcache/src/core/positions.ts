/** How far this node has seen one origin. An origin is one incarnation of a node: `node/incarnation`. */
export interface Position {
  readonly origin: string;
  /** The node that the origin is an incarnation of. */
  readonly node: string;
  /** All sequence numbers from 1 to this were seen. */
  seen: number;
  /** Dot of number `seen`: every dot of this origin at or below it was seen. */
  dot: number;
  /** Numbers above `seen` that came early, with their dots; bounded, what does not fit is pulled again. */
  readonly early: Map<number, number>;
  /** Highest number known to exist. */
  latest: number;
  /** Records of this origin with a dot above this are void; Infinity where none are. */
  voidAbove: number;
  /** Monotonic time since when its node is not a member; -1 while it is. */
  goneAtMs: number;
  /** While this monotonic time has not come, a pull is under way. */
  pullUntilMs: number;
}

const maxEarly = 65_536;

function nodeOf(origin: string): string {
  return origin.slice(0, origin.lastIndexOf('/'));
}

/**
 * The positions of all origins: what this node has seen and what it knows to have missed.
 *
 * Origins that are gone leave the table after a while; a short epitaph (the last dot, and what was void) stays in a
 * bounded list, so that a node which returns after long is still told apart from one never heard of.
 */
export class Positions {
  readonly #table = new Map<string, Position>();
  readonly #epitaphs = new Map<string, { seen: number; dot: number; voidAbove: number }>();
  readonly #maxEpitaphs: number;

  constructor(maxEpitaphs = 1024) {
    this.#maxEpitaphs = maxEpitaphs;
  }

  all(): IterableIterator<Position> {
    return this.#table.values();
  }

  get size(): number {
    return this.#table.size;
  }

  /** How far this node has seen an origin, buried ones too. */
  seen(origin: string): number {
    return (this.#table.get(origin) ?? this.#epitaphs.get(origin))?.seen ?? 0;
  }

  /** Whether this node has heard anything of an origin, buried or not. */
  knows(origin: string): boolean {
    return this.#table.has(origin) || this.#epitaphs.has(origin);
  }

  /** Origins that are gone, oldest first. */
  epitaphs(): IterableIterator<[origin: string, { seen: number; dot: number; voidAbove: number }]> {
    return this.#epitaphs.entries();
  }

  get(origin: string): Position {
    let position = this.#table.get(origin);
    if (position === undefined) {
      const epitaph = this.#epitaphs.get(origin);
      this.#epitaphs.delete(origin);
      position = {
        origin,
        node: nodeOf(origin),
        seen: epitaph?.seen ?? 0,
        dot: epitaph?.dot ?? 0,
        early: new Map(),
        latest: epitaph?.seen ?? 0,
        voidAbove: epitaph?.voidAbove ?? Infinity,
        goneAtMs: -1,
        pullUntilMs: 0,
      };
      this.#table.set(origin, position);
    }
    return position;
  }

  /** Whether this node has seen what `origin` issued at `dot`. */
  hasSeen(origin: string, dot: number): boolean {
    const known = this.#table.get(origin) ?? this.#epitaphs.get(origin);
    return known !== undefined && dot <= known.dot;
  }

  /** The dot above which records of an origin are void, buried ones too; Infinity where none are. */
  voidAbove(origin: string): number {
    return (this.#table.get(origin) ?? this.#epitaphs.get(origin))?.voidAbove ?? Infinity;
  }

  /** Origins of which something is void, and above which dot; buried ones too. */
  *voids(): Generator<readonly [origin: string, voidAbove: number]> {
    for (const { origin, voidAbove } of this.#table.values()) if (voidAbove !== Infinity) yield [origin, voidAbove];
    for (const [origin, { voidAbove }] of this.#epitaphs) if (voidAbove !== Infinity) yield [origin, voidAbove];
  }

  isVoid(origin: string, dot: number): boolean {
    const known = this.#table.get(origin) ?? this.#epitaphs.get(origin);
    return known !== undefined && dot > known.voidAbove;
  }

  /** Marks one number as seen. False where it was seen before, or cannot be kept in mind. */
  mark(position: Position, sequence: number, dot: number): boolean {
    if (sequence > position.latest) position.latest = sequence;
    if (sequence <= position.seen || position.early.has(sequence)) return false;
    if (sequence === position.seen + 1) {
      position.seen = sequence;
      if (dot > position.dot) position.dot = dot;
      this.#drain(position);
      return true;
    }
    if (position.early.size >= maxEarly) return false;
    position.early.set(sequence, dot);
    return true;
  }

  /** Takes over a donor's position: its state holds the effect of all up to it. */
  raise(origin: string, seen: number, dot: number): void {
    const position = this.get(origin);
    if (seen > position.latest) position.latest = seen;
    if (seen > position.seen) {
      position.seen = seen;
      if (dot > position.dot) position.dot = dot;
      for (const sequence of position.early.keys()) if (sequence <= seen) position.early.delete(sequence);
      this.#drain(position);
    }
  }

  /** Removes an origin and leaves its epitaph. */
  bury(origin: string): void {
    const position = this.#table.get(origin);
    if (position === undefined) return;
    this.#table.delete(origin);
    this.#epitaphs.set(origin, { seen: position.seen, dot: position.dot, voidAbove: position.voidAbove });
    if (this.#epitaphs.size > this.#maxEpitaphs) this.#epitaphs.delete(this.#epitaphs.keys().next().value!);
  }

  #drain(position: Position): void {
    for (;;) {
      const dot = position.early.get(position.seen + 1);
      if (dot === undefined) return;
      position.early.delete(++position.seen);
      if (dot > position.dot) position.dot = dot;
    }
  }
}
