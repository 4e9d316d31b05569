import { Digest } from './digest.js';
import { scramble } from './hash.js';
import { Table } from './table.js';

const CHUNK_SHIFT = 12;
const CHUNK_PLACES = 1 << CHUNK_SHIFT;
/** Table ids are 1 to this; a place's id is its number modulo it, and places in use span far less. */
const ID_SPAN = 0xffff_ffff;

/**
 * Fingerprints of keys that left S3-FIFO's small queue, oldest first: 64 bits each, in numbered places. A key that comes
 * back leaves its place empty; the place still counts until it is the oldest. The fingerprint has no seed, because which
 * keys are remembered is replicated state; the table that finds them has one.
 *
 * Chunks of places are shared with views and copied before a place in them is emptied.
 */
export class Ghosts {
  readonly digest: Digest = new Digest();
  readonly #fingerprint: Digest = new Digest();
  readonly #seed: number;
  readonly #table: Table = new Table();
  /** Places from `#chunksFrom` on, two words each; 0, 0 is empty. */
  #chunks: Uint32Array[] = [];
  #isShared: boolean[] = [];
  #chunksFrom = 0;
  #from = 0;
  #to = 0;

  constructor(seed: number, from: number = 0) {
    this.#seed = seed;
    this.#from = from;
    this.#to = from;
    this.#chunksFrom = Math.floor(from / CHUNK_PLACES) * CHUNK_PLACES;
  }

  /** The number of the oldest place, and of the one after the newest. */
  get range(): readonly [number, number] {
    return [this.#from, this.#to];
  }

  get size(): number {
    return this.#to - this.#from;
  }

  get allocatedBytes(): number {
    return this.#chunks.length * CHUNK_PLACES * 8 + this.#table.allocatedBytes;
  }

  /** Remembers a key of `length` bytes at `at`, then forgets the oldest until at most `most` places are left. */
  push(view: DataView, at: number, length: number, most: number): void {
    const [a, b] = this.#fingerprint.ofBytes(view, at, length, 0, 0).term;
    this.append(a === 0 && b === 0 ? 1 : a, b);
    while (this.size > most) this.#shift();
  }

  /** Adds a place as it was; 0, 0 for an empty one. */
  append(a: number, b: number): void {
    const at = this.#to - this.#chunksFrom;
    if (at >>> CHUNK_SHIFT === this.#chunks.length) {
      this.#chunks.push(new Uint32Array(CHUNK_PLACES * 2));
      this.#isShared.push(false);
    }
    const chunk = this.#chunks[at >>> CHUNK_SHIFT]!;
    chunk[(at & (CHUNK_PLACES - 1)) * 2] = a;
    chunk[(at & (CHUNK_PLACES - 1)) * 2 + 1] = b;
    if (a !== 0 || b !== 0) {
      this.digest.ofNumbers(this.#to, a, b).add();
      this.#table.add(this.#hash(a, b), idOf(this.#to));
    }
    this.#to++;
  }

  /** Whether the key is remembered; if so it is forgotten. */
  take(view: DataView, at: number, length: number): boolean {
    if (this.size === 0) return false;
    let [a, b] = this.#fingerprint.ofBytes(view, at, length, 0, 0).term;
    if (a === 0 && b === 0) a = 1;
    for (let id = this.#table.first(this.#hash(a, b)); id !== 0; id = this.#table.next()) {
      const place = this.#from + ((id - idOf(this.#from) + ID_SPAN) % ID_SPAN);
      if (this.#word(place, 0) !== a || this.#word(place, 1) !== b) continue;
      this.#empty(place);
      return true;
    }
    return false;
  }

  /** The places as they are now, for a snapshot: a function from a place's number to its two words. */
  view(): (place: number) => readonly [number, number] {
    this.#isShared.fill(true);
    const chunks = this.#chunks.slice();
    const chunksFrom = this.#chunksFrom;
    return (place) => {
      const at = place - chunksFrom;
      const chunk = chunks[at >>> CHUNK_SHIFT]!;
      return [chunk[(at & (CHUNK_PLACES - 1)) * 2]!, chunk[(at & (CHUNK_PLACES - 1)) * 2 + 1]!];
    };
  }

  #word(place: number, word: 0 | 1): number {
    const at = place - this.#chunksFrom;
    return this.#chunks[at >>> CHUNK_SHIFT]![(at & (CHUNK_PLACES - 1)) * 2 + word]!;
  }

  #empty(place: number): void {
    const a = this.#word(place, 0);
    const b = this.#word(place, 1);
    if (a === 0 && b === 0) return;
    this.digest.ofNumbers(place, a, b).subtract();
    this.#table.remove(this.#hash(a, b), idOf(place));
    const number = (place - this.#chunksFrom) >>> CHUNK_SHIFT;
    if (this.#isShared[number]) {
      this.#chunks[number] = this.#chunks[number]!.slice();
      this.#isShared[number] = false;
    }
    const at = ((place - this.#chunksFrom) & (CHUNK_PLACES - 1)) * 2;
    this.#chunks[number]![at] = 0;
    this.#chunks[number]![at + 1] = 0;
  }

  #shift(): void {
    this.#empty(this.#from++);
    if (this.#from - this.#chunksFrom < CHUNK_PLACES) return;
    this.#chunks.shift();
    this.#isShared.shift();
    this.#chunksFrom += CHUNK_PLACES;
  }

  #hash(a: number, b: number): number {
    return scramble(a ^ scramble(b ^ this.#seed)) >>> 0;
  }
}

function idOf(place: number): number {
  return (place % ID_SPAN) + 1;
}
