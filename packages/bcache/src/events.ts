import { EventEmitter } from 'node:events';
import type { Known } from '@dcache/base';
import type { BusMember } from './bus.js';

/** A key and its namespace; the cache's own namespace is `''`. */
export interface KeyEvent {
  readonly namespace: string;
  readonly key: string;
}

/** Events of a cache and what their listeners get. Nothing is built for an event that nobody listens to. */
export interface CacheEvents {
  hit: [event: KeyEvent];
  miss: [event: KeyEvent];
  /** A value came, set here or elsewhere. */
  set: [event: KeyEvent & { readonly isLocal: boolean }];
  /** A value went because it was deleted, cleared or invalidated, here or elsewhere. */
  delete: [event: KeyEvent];
  evict: [event: KeyEvent];
  expire: [event: KeyEvent];
  /** A filler ran on this node. */
  fill: [event: KeyEvent & { readonly fillMs: number }];
  /** A peer or a background fill went wrong. Without a listener it is logged; it never throws. */
  error: [error: Error];
  'member-join': [member: BusMember];
  'member-leave': [member: BusMember];
  'member-failed': [member: BusMember];
  /** A full state is being taken from a peer, while this node serves. */
  'sync-start': [event: { readonly peer: string }];
  'sync-end': [event: { readonly peer: string; readonly records: number; readonly ok: boolean }];
}

export const eventNames: Known<CacheEvents> = {
  hit: true,
  miss: true,
  set: true,
  delete: true,
  evict: true,
  expire: true,
  fill: true,
  error: true,
  'member-join': true,
  'member-leave': true,
  'member-failed': true,
  'sync-start': true,
  'sync-end': true,
};

export class Events extends EventEmitter<CacheEvents> {
  /** Whether anybody listens to reads: asked on each of them. */
  watchesReads = false;

  constructor() {
    super();
    const look = (): void => {
      this.watchesReads = this.listenerCount('hit') + this.listenerCount('miss') > 0;
    };
    const own = this as unknown as EventEmitter;
    own.on('newListener', () => queueMicrotask(look));
    own.on('removeListener', look);
  }

  override on<E extends keyof CacheEvents>(event: E, listener: (...args: CacheEvents[E]) => void): this {
    super.on(event as never, listener as never);
    if (event === 'hit' || event === 'miss') this.watchesReads = true;
    return this;
  }
}
