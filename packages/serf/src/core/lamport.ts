/**
 * A Lamport clock (Lamport: Time, Clocks, and the Ordering of Events, 1978). Starts at 1; 0 stands for "never".
 * Serf keeps three: for intents, for user events, for queries.
 */
export class LamportClock {
  #time = 1;

  get time(): number {
    return this.#time;
  }

  /** The time to stamp a new message of this member with; the clock moves on. */
  next(): number {
    return this.#time++;
  }

  /** A message of this time was seen: what follows is later. */
  witness(time: number): void {
    if (time >= this.#time) this.#time = time + 1;
  }
}

/** Highest Lamport time taken from a peer, so that a clock never reaches the numbers it cannot count. */
export const maxLamportTime: number = 2 ** 52;
