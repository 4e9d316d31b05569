/** Decides who leaves when the cache is full. It sees slots, never values. */
export interface Policy {
  /** A new key came into `slot`. */
  inserted(slot: number): void;
  /** The entry was read, or written again. */
  touched(slot: number): void;
  /** The entry leaves, for whatever reason. */
  removed(slot: number): void;
  /** Who leaves next; it stays until `removed` is called. There is at least one entry. */
  victim(): number;
}
