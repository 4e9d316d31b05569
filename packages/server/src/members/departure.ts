import { ByteReader, ByteWriter, type Clock } from '@dcache/base';
import type { ReplicatedLog } from '../log/replicated-log.js';
import { ForwardFrame, type FrameSender } from '../peers/forwarder.js';

/** How long a node that stops waits to be removed before it goes all the same, in milliseconds. */
const patienceMs = 3_000;
/** How often it asks anew, because the leader may change meanwhile. */
const askEveryMs = 250;

/** How long a leader that leaves first takes out others that leave with it: one of them would be a poor successor. */
const othersFirstMs = 300;

/** How a departure ended: `left` the configuration, stayed as the `last` voter, or went `unheard`. */
export type DepartureResult = 'left' | 'last' | 'unheard';

/**
 * The departure of a node that will not come back under its id: it hands leadership over, then asks the leader to take
 * it out of the configuration, so that the rest keeps its quorum. The last voter stays. Several may leave at once: two
 * that hand leadership to each other until both are gone would leave a third without a quorum.
 *
 * The request is an empty frame: a peer can only remove itself. The response is one byte, 1 for done.
 */
export class Departure {
  readonly #log: ReplicatedLog;
  readonly #sender: FrameSender;
  readonly #clock: Clock;
  #onResponse: ((isRemoved: boolean) => void) | undefined;

  constructor(log: ReplicatedLog, sender: FrameSender, clock: Clock) {
    this.#log = log;
    this.#sender = sender;
    this.#clock = clock;
  }

  /** A response frame came. */
  receive(payload: Uint8Array): void {
    this.#onResponse?.(new ByteReader(payload).u8() === 1);
  }

  /** Never rejects, and takes `patienceMs` at most. */
  async leave(): Promise<DepartureResult> {
    const deadlineMs = this.#clock.monotonicMs() + patienceMs;
    let wasMember = false;
    let hasWaited = false;
    while (this.#clock.monotonicMs() < deadlineMs) {
      const { confState } = this.#log.status();
      const isMember = confState.voters.includes(this.#log.id) || confState.learners.includes(this.#log.id);
      // Whoever is led but finds no trace of itself was just added, and has not applied that yet: it must be taken out
      // all the same, or the others would wait for its vote.
      if (!isMember && (wasMember || this.#log.leader() === 0)) return 'left';
      wasMember ||= isMember;
      if (this.#isLastVoter()) return 'last';
      if (this.#log.leader() === this.#log.id) {
        if (hasWaited) await this.#transfer(deadlineMs - this.#clock.monotonicMs());
        else await this.#pause(othersFirstMs);
        hasWaited = true;
      } else if (await this.#askToBeRemoved()) return 'left';
    }
    return 'unheard';
  }

  /** Gives leadership to another voter, if this node leads and there is one that can take it. Never rejects. */
  async handOver(): Promise<void> {
    if (this.#log.leader() === this.#log.id && !this.#isLastVoter()) await this.#transfer(patienceMs);
  }

  /**
   * To a full disk, too, where no other is left: who leads there takes no writes, but reads go on. Resolves when leadership
   * is handed over, a moment after that failed, or when the time is over.
   */
  #transfer(withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#clock.after(withinMs, resolve);
      const done = (): void => {
        cancel();
        resolve();
      };
      // No other voter is up to date now, say: the loop looks again.
      this.#log.transferLeadership(undefined, { mayBeFull: true }).then(done, () => this.#pause(askEveryMs).then(done));
    });
  }

  #isLastVoter(): boolean {
    const { voters } = this.#log.status().confState;
    return voters.length === 1 && voters[0] === this.#log.id;
  }

  #askToBeRemoved(): Promise<boolean> {
    return new Promise((resolve) => {
      const settle = (isRemoved: boolean): void => {
        cancel();
        this.#onResponse = undefined;
        resolve(isRemoved);
      };
      const cancel = this.#clock.after(askEveryMs, () => settle(false));
      this.#onResponse = (isRemoved) => {
        // A refusal means that another must be asked, after a moment.
        if (isRemoved) settle(true);
      };
      const leader = this.#log.leader();
      if (leader !== 0) this.#sender.sendFrame(leader, ForwardFrame.leaveRequest, new Uint8Array());
    });
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#clock.after(ms, resolve));
  }
}

/** The leader's answer to a leave request. */
export function departureResponse(isRemoved: boolean): Uint8Array {
  return new ByteWriter(1).u8(isRemoved ? 1 : 0).copy();
}
