import { equalBytes } from '@dcache/base';
import type { EventSlot, UserEventMessage } from './message.js';

/** Events of one Lamport time that are remembered, and their bytes; a hostile peer's further ones are dropped. */
const maxEventsPerSlot = 256;
const maxBytesPerSlot = 32_768;

interface Slot {
  readonly lTime: number;
  bytes: number;
  readonly events: { readonly name: string; readonly payload: Uint8Array }[];
}

/**
 * Remembers the events of the last Lamport times to tell what was seen already. A ring: the place of a time is the
 * time modulo the size, a newer time takes over an older one's place.
 */
export class EventBuffer {
  readonly #slots: (Slot | undefined)[];
  /** Events before this are not wanted: they happened before this member joined, or before its restart. */
  #minTime = 0;

  constructor(size: number) {
    this.#slots = new Array<Slot | undefined>(size).fill(undefined);
  }

  ignoreBefore(lTime: number): void {
    this.#minTime = Math.max(this.#minTime, lTime);
  }

  /** Whether the event is new. `clockTime` is the clock after it witnessed the event. */
  add(event: UserEventMessage, clockTime: number): boolean {
    const size = this.#slots.length;
    if (event.lTime < this.#minTime) return false;
    if (clockTime > size && event.lTime < clockTime - size) return false;
    const place = event.lTime % size;
    const { name, payload } = event;
    const bytes = name.length + payload.length;
    if (bytes > maxBytesPerSlot) return false;
    const slot = this.#slots[place];
    if (slot === undefined || slot.lTime !== event.lTime) {
      this.#slots[place] = { lTime: event.lTime, bytes, events: [{ name, payload }] };
      return true;
    }
    if (slot.events.some((seen) => seen.name === name && equalBytes(seen.payload, payload))) return false;
    if (slot.events.length >= maxEventsPerSlot || slot.bytes + bytes > maxBytesPerSlot) return false;
    slot.bytes += bytes;
    slot.events.push({ name, payload });
    return true;
  }

  /** All that is remembered, for a push/pull. */
  slots(): readonly (EventSlot | undefined)[] {
    return this.#slots;
  }
}
