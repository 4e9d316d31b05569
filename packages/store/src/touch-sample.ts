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

  note(id: number): void {
    this.#ids[id & (PLACES - 1)] = id;
    this.#isEmpty = false;
  }

  /** Takes out and returns up to `limit` ids. */
  take(limit: number): number[] {
    const ids: number[] = [];
    for (let place = 0; !this.#isEmpty && place < PLACES && ids.length < limit; place++) {
      if (this.#ids[place] !== 0) ids.push(this.#ids[place]!);
      this.#ids[place] = 0;
    }
    this.#isEmpty ||= ids.length < limit;
    return ids;
  }

  /** An entry leaves, and its id with it. */
  forget(id: number): void {
    if (this.#ids[id & (PLACES - 1)] === id) this.#ids[id & (PLACES - 1)] = 0;
  }
}
