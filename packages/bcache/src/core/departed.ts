import type { UpdateLog } from './log.js';
import type { Position, Positions } from './positions.js';

/** What burying needs of its replicator. */
export interface DepartedHost {
  readonly positions: Positions;
  readonly log: UpdateLog;
  /** Monotonic time. */
  now(): number;
  /** This node's position under its present incarnation. */
  own(): Position;
  peers(): readonly string[];
}

/** Buries origins that have been gone for longer than `delayMs`: an epitaph stays of them, and none of their updates. */
export function buryDeparted(host: DepartedHost, delayMs: number): void {
  const now = host.now();
  for (const position of host.positions.all()) {
    if (position === host.own() || isCurrent(host, position)) position.goneAtMs = -1;
    else if (position.goneAtMs < 0) position.goneAtMs = now;
    else if (now - position.goneAtMs > delayMs) {
      host.positions.bury(position.origin);
      host.log.forget(position.origin);
    }
  }
}

/** Whether this origin may still issue updates: its node lives, and is not known under a later incarnation. */
function isCurrent({ positions, own, peers }: DepartedHost, { node, dot, voidAbove }: Position): boolean {
  if (node === own().node || voidAbove !== Infinity || !peers().includes(node)) return false;
  for (const other of positions.all())
    if (other.dot > dot && other.voidAbove === Infinity && other.node === node) return false;
  return true;
}
