/** Keys remembered between two `take` calls. */
const PLACES = 4096;

/**
 * Entries that were read here and whose touch would change something: local, lossy, of fixed size. A read puts the id in
 * the one place that its low bits name, so an entry that is read a thousand times takes one place, and of two entries
 * that share a place the later is kept.
 */
export class TouchSample {
  readonly #ids: Uint32Array = new Uint32Array(PLACES);
  #isEmpty = true;
  /** Where the next `take` goes on: with a small limit all places get their turn, however fast the first fill again. */
  #next = 0;

  note(id: number): void {
    this.#ids[id & (PLACES - 1)] = id;
    this.#isEmpty = false;
  }

  /** Takes out and returns up to `limit` ids. */
  take(limit: number): number[] {
    const ids: number[] = [];
    let looked = 0;
    for (; !this.#isEmpty && looked < PLACES && ids.length < limit; looked++) {
      const id = this.#ids[this.#next]!;
      if (id !== 0) ids.push(id);
      this.#ids[this.#next] = 0;
      this.#next = (this.#next + 1) & (PLACES - 1);
    }
    this.#isEmpty ||= looked === PLACES;
    return ids;
  }

  /** An entry leaves, and its id with it. */
  forget(id: number): void {
    if (this.#ids[id & (PLACES - 1)] === id) this.#ids[id & (PLACES - 1)] = 0;
  }
}
