import type { NodeStatus } from '@dcache/protocol';

/** A node's own view, for people and probes. */
export type ServerStatus = NodeStatus;
