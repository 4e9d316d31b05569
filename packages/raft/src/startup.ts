import { ConfChangeType, encodeConfChange } from './core/conf-change.js';
import { EntryType, type NodeId, noBytes, noNode, type SnapshotMetadata } from './core/message.js';
import { RaftError, wordsOf } from './errors.js';
import type { StateMachine } from './state-machine.js';
import type { LogStorage } from './storage.js';

/** Gives the state machine the state that the storage has, and says what that stands for; undefined where it has none. */
export async function restoreState(
  storage: LogStorage,
  stateMachine: StateMachine<unknown>,
): Promise<SnapshotMetadata | undefined> {
  const stored = await storage.openSnapshot();
  if (stored === undefined) return undefined;
  try {
    await stateMachine.restore(stored.chunks(), stored.metadata);
  } catch (cause) {
    if (cause instanceof RaftError) throw cause;
    throw new RaftError('state-machine', `restore of snapshot ${stored.metadata.index} threw: ${wordsOf(cause)}`, {
      cause,
    });
  }
  return stored.metadata;
}

/**
 * Founds a cluster of one, if the log is empty: it begins with one committed entry that makes its founder a voter, so
 * that the founder and its `context` are in every log.
 */
export async function foundCluster(storage: LogStorage, id: NodeId, context: Uint8Array = noBytes): Promise<void> {
  if (storage.lastIndex() > 0 || storage.initialState().hardState.term > 0) return;
  const data = encodeConfChange({ changes: [{ type: ConfChangeType.addNode, nodeId: id }], context });
  const entry = { index: 1, term: 1, type: EntryType.confChangeV2, data };
  await storage.append([entry], { term: 1, vote: noNode, commit: 1 });
}
