/** What a change does. Append only: these numbers are the protocol. */
export const ChangeKind = { set: 0, delete: 1, clear: 2, invalidate: 3 } as const;
export type ChangeKind = (typeof ChangeKind)[keyof typeof ChangeKind];

/**
 * One versioned record, as it travels and as it is merged. A `set` and a `delete` speak of a key, a `clear` of a whole
 * namespace (its key is empty), an `invalidate` of a tag (its key is the tag).
 *
 * Order is by (`stamp`, `origin`, see `compareVersion`): the higher wins, on every node, in whatever order they arrive.
 */
export interface Change {
  readonly kind: ChangeKind;
  readonly space: string;
  readonly key: string;
  /** Decides who wins. For a filled value it is the moment its filler started, so that a later write stands. */
  readonly stamp: number;
  /** When its origin issued it; rises with the origin's sequence. Invariant: dot >= stamp; equal but for fills. */
  readonly dot: number;
  readonly origin: string;
  /** Milliseconds since 1970, as the cluster counts them, when the value expires; 0 for never. */
  readonly expiresAtMs: number;
  /** How long an expired value may still be served where a filler fails. */
  readonly graceMs: number;
  readonly tags: readonly string[];
  /** The encoded value of a `set`; empty for all others. */
  readonly value: Uint8Array;
}

export const noBytes: Uint8Array = new Uint8Array(0);
export const noTags: readonly string[] = [];

/**
 * A negative number where version a loses to version b, 0 where they are one, a positive number where it wins. Stamps
 * decide; two nodes can give the same one, then the rank of their origins does.
 */
export function compareVersion(aStamp: number, aOrigin: string, bStamp: number, bOrigin: string): number {
  if (aStamp !== bStamp) return aStamp - bStamp;
  if (aOrigin === bOrigin) return 0;
  return rankOf(aOrigin) - rankOf(bOrigin) || (aOrigin < bOrigin ? -1 : 1);
}

/** 32 bits that stand for an origin where there is no room for its name (FNV-1a). */
export function rankOf(origin: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < origin.length; i++) hash = Math.imul(hash ^ origin.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** What two records are compared by. */
export interface Version {
  readonly stamp: number;
  readonly origin: string;
}
