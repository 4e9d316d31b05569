/**
 * Known bugs that a run can be given on purpose, to prove that the checks see them. Each is made around the core, where
 * a driver, a disk or an operator would make it.
 */
export const mutations = [
  /** A crash loses term and vote but not the log: a node votes twice in one term. */
  'forget-hard-state',
  /** Answers that rest on a write leave before it is on disk. */
  'answer-before-sync',
  /** The disk says that it has written and has not. */
  'sync-does-nothing',
  /** A node in memory comes back empty under the id that has voted and acknowledged. */
  'reuse-identity',
  /** A leader answers reads from its own state without asking a quorum. */
  'read-without-quorum',
  /** A read is served before the state machine has reached its index. */
  'read-before-applied',
  /** One node applies something else than the log says. */
  'apply-something-else',
  /** A retried command takes effect twice. */
  'apply-retries-twice',
] as const;
export type Mutation = (typeof mutations)[number];
