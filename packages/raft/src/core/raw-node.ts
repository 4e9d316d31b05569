import type { ConfChange } from './conf-change.js';
import { type ConfState, type Entry, type Message, type NodeId, noNode } from './message.js';
import { type RawNodeOptions, type ResolvedOptions, resolveOptions } from './options.js';
import type { BasicStatus, ProposeResult, ReadIndexResult, Ready, Status, StepResult } from './ready.js';

/** One Raft node without clock, disk or network. */
export class RawNode {
  readonly #options: ResolvedOptions;

  constructor(options: RawNodeOptions) {
    this.#options = resolveOptions(options);
  }

  get id(): NodeId {
    return this.#options.id;
  }
  get leader(): NodeId {
    return noNode;
  }
  tick(): void {}
  step(_message: Message): StepResult {
    throw new Error('not built yet');
  }
  campaign(): void {}
  /** Proposes entries; they become `index`, `index + 1`, ... in one step. */
  propose(..._data: readonly Uint8Array[]): ProposeResult {
    throw new Error('not built yet');
  }
  proposeConfChange(_change: ConfChange): ProposeResult {
    throw new Error('not built yet');
  }
  /** Call for each configuration entry in `committedEntries`, before `advance()`. */
  applyConfChange(_change: ConfChange): ConfState {
    throw new Error('not built yet');
  }
  /** The same, straight from the entry. */
  applyConfEntry(_entry: Entry): ConfState {
    throw new Error('not built yet');
  }
  readIndex(_context: number): ReadIndexResult {
    throw new Error('not built yet');
  }
  transferLeader(_to: NodeId): void {}
  forgetLeader(): void {}
  reportUnreachable(_id: NodeId): void {}
  reportSnapshot(_id: NodeId, _ok: boolean): void {}
  hasReady(): boolean {
    return false;
  }
  ready(): Ready {
    throw new Error('not built yet');
  }
  advance(): void {}
  status(): Status {
    throw new Error('not built yet');
  }
  basicStatus(): BasicStatus {
    throw new Error('not built yet');
  }
}
