/** What a driver carries out; messages leave in order. */
export interface Effects {
  /** `to` undefined: to every peer. */
  readonly messages: readonly { readonly to: string | undefined; readonly bytes: Uint8Array }[];
  readonly events: readonly ReplicatorEvent[];
  /** Chunks wait to be made: call `pump` in a later turn. */
  readonly hasMore: boolean;
}

export type ReplicatorEvent =
  | { readonly type: 'sync-start'; readonly peer: string }
  | { readonly type: 'sync-end'; readonly peer: string; readonly records: number; readonly ok: boolean }
  | { readonly type: 'ready' }
  | { readonly type: 'clock-corrected'; readonly peer: string; readonly aheadMs: number }
  | { readonly type: 'stale' };

/** Counts since the start. */
export interface ReplicatorStats {
  /** Updates sent, received from others, and of those taken because they were newer. */
  sent: number;
  received: number;
  applied: number;
  /** Batches and chunks with stamps too far ahead. */
  refused: number;
  /** Records void since a clock was found wrong, and records stamped anew for it. */
  voided: number;
  restamped: number;
  pulls: number;
  /** Full states asked for. */
  states: number;
  /** Messages that could not be read. */
  nonsense: number;
}
