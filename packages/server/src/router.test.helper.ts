import assert from 'node:assert/strict';
import { fromUtf8, utf8 } from '@dcache/base';
import { type Command, CommandType, DcacheError, encodeLogEntry, ReadLevel, type Reply } from '@dcache/protocol';
import type { ConfState, RaftStatus } from '@dcache/raft';
import { HandClock, turn } from '@dcache/testing';
import { GroupCommit, type Settled } from './log/group-commit.js';
import { LogTime } from './log/log-time.js';
import type { ReplicatedLog } from './log/replicated-log.js';
import { decodeForwardRequest, encodeForwardResponse } from './peers/forward-codec.js';
import { answerForwarded, Forwarder } from './peers/forwarder.js';
import { Router, type RouterParts } from './router.js';
import { CacheStateMachine } from './state/state-machine.js';

export const self = 1;

export const set = (key: string, value: string, ttlMs = 0): Command => ({
  type: CommandType.set,
  key: utf8(key),
  value: utf8(value),
  ttlMs,
  flags: 0,
});

/** This node's log: the test says who leads and what goes wrong. */
class FakeLog implements ReplicatedLog {
  readonly id: number = self;
  readonly machine: CacheStateMachine = new CacheStateMachine({ maxBytes: 1_048_576 });
  readonly listeners: Set<() => void> = new Set();
  /** What the next calls fail with, in order. */
  readonly appendFailures: Error[] = [];
  readonly barrierFailures: Error[] = [];
  readonly barriers: string[] = [];
  appended = 0;
  leases: boolean[] = [];
  onBarrier: () => void = () => {};
  #leader = self;

  leader(): number {
    return this.#leader;
  }

  lead(leader: number): void {
    this.#leader = leader;
    for (const listener of [...this.listeners]) listener();
  }

  async append(data: Uint8Array): Promise<readonly Reply[]> {
    const failure = this.appendFailures.shift();
    if (failure) throw failure;
    this.appended++;
    return this.machine.apply({ data: data.slice() });
  }

  async readBarrier(level: Exclude<ReadLevel, 'local'>): Promise<void> {
    this.barriers.push(level);
    const failure = this.barrierFailures.shift();
    if (failure) throw failure;
    this.onBarrier();
  }

  isLeaseValid(): boolean {
    return this.leases.shift() ?? true;
  }

  onLeaderChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  status(): RaftStatus {
    return { id: this.id, isReadable: true, confState: { voters: [1, 2], learners: [3] } } as unknown as RaftStatus;
  }

  changeMember(): Promise<ConfState> {
    return assert.fail();
  }

  transferLeadership(): Promise<void> {
    return assert.fail();
  }
}

/** Another node that leads: applies what it is sent, and answers unless the test says otherwise. */
export class FakeLeader {
  readonly machine: CacheStateMachine;
  /** What to do with the next frames: answer, apply without an answer, or drop. */
  readonly script: ('answer' | 'apply' | 'drop' | 'busy' | 'no-link' | 'refuse')[] = [];
  frames = 0;

  constructor(machine: CacheStateMachine = new CacheStateMachine({ maxBytes: 1_048_576 })) {
    this.machine = machine;
  }

  readonly appendAll = async (commands: readonly Command[]): Promise<readonly Settled[]> =>
    this.machine
      .apply({ data: encodeLogEntry({ stampMs: 1_700_000_000_000, commands }).slice() })
      .map((reply) => ({ reply }));
}

/** A router, and all that stands around it. */
export interface World {
  readonly log: FakeLog;
  readonly clock: HandClock;
  readonly time: LogTime;
  /** The other nodes, by id. */
  readonly leaders: Map<number, FakeLeader>;
  readonly forwarder: Forwarder;
  readonly router: Router;
}

export function make(more: Partial<RouterParts> = {}): World {
  const log = new FakeLog();
  const clock = new HandClock();
  const time = new LogTime(clock);
  const leaders = new Map<number, FakeLeader>();
  const forwarder: Forwarder = new Forwarder(
    {
      sendFrame(to, _kind, payload) {
        const leader = leaders.get(to);
        const what = leader?.script.shift() ?? 'answer';
        if (!leader || what === 'no-link') return 'no-link';
        if (what === 'busy') return 'busy';
        leader.frames++;
        const bytes = payload.slice();
        if (what === 'refuse') {
          const { batch, commands } = decodeForwardRequest(bytes);
          const outcomes = commands.map(() => new DcacheError('no-leader', 'I do not lead'));
          setImmediate(() => forwarder.receive(to, encodeForwardResponse({ batch, outcomes })));
        } else if (what !== 'drop')
          void answerForwarded(bytes, leader.appendAll).then((response) => {
            if (what === 'answer') setImmediate(() => forwarder.receive(to, response));
          });
        return 'sent';
      },
    },
    clock,
    5_000,
  );
  const router = new Router({
    log,
    groupCommit: new GroupCommit((data) => log.append(data), time, 1_000_000),
    forwarder,
    stateMachine: log.machine,
    time,
    clock,
    readConsistency: ReadLevel.linearizable,
    requestTimeoutMs: 5_000,
    ...more,
  });
  return { log, clock, time, leaders, forwarder, router };
}

/** How a request ended; `settled` tells whether it has. */
export function watch<Result>(promise: Promise<Result>): { result?: Result; error?: unknown; settled: boolean } {
  const outcome: { result?: Result; error?: unknown; settled: boolean } = { settled: false };
  promise.then(
    (result) => Object.assign(outcome, { result, settled: true }),
    (error) => Object.assign(outcome, { error, settled: true }),
  );
  return outcome;
}

/** Lets a request go as far as it can without time passing. */
export const turns = async (count = 6): Promise<void> => {
  for (let i = 0; i < count; i++) await turn();
};

/** What the machine has under a key. */
export const text = (machine: CacheStateMachine, key: string): string | undefined => {
  const found = machine.read(utf8(key));
  return found && fromUtf8(found.value);
};
