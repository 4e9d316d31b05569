import type { MemberStatus } from '../core/roster.js';

/** Status of a member in Serf's own numbers; 0 is none. Append only: these numbers are the protocol. */
export const statusNumbers: Readonly<Record<MemberStatus, number>> = { alive: 1, leaving: 2, left: 3, failed: 4 };
