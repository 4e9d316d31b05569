import { BytesError, type Clock } from '@dcache/base';
import { type Command, DcacheError, maxBatchBytes, type Reply, toDcacheError } from '@dcache/protocol';
import { commandBytes, cutBatches, totalBytes } from '../log/command-bytes.js';
import type { Settled } from '../log/group-commit.js';
import { NotAppendedError } from '../log/replicated-log.js';
import {
  decodeForwardRequest,
  decodeForwardResponse,
  encodeForwardRequest,
  encodeForwardResponse,
  type Outcome,
} from './forward-codec.js';

// Append only: these numbers are the protocol; Raft's own kinds are below 64.
export const ForwardFrame = { request: 64, response: 65, leaveRequest: 66, leaveResponse: 67 } as const;

/** What the forwarder needs of the peer connections. */
export interface FrameSender {
  /** Whether the frame was taken; `busy` when the connection's queue is full, `no-link` while there is none. */
  sendFrame(to: number, kind: number, payload: Uint8Array): 'sent' | 'busy' | 'no-link';
}

interface Waiting {
  readonly command: Command;
  readonly bytes: number;
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: unknown) => void;
}

interface Batch {
  readonly to: number;
  readonly waiting: readonly Waiting[];
  readonly cancelTimer: () => void;
}

/**
 * Sends the writes of this node's clients to the leader: all of one event-loop turn in one frame, cut at 1 MiB. Every
 * write settles: with its reply, with `NotAppendedError` where the leader certainly did not take it, or with
 * `unknown-outcome`.
 */
export class Forwarder {
  readonly #sender: FrameSender;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #batches = new Map<number, Batch>();
  #queued = new Map<number, Waiting[]>();
  #nextBatch = 1;

  constructor(sender: FrameSender, clock: Clock, timeoutMs: number) {
    this.#sender = sender;
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
  }

  /** Batches that wait for their answer. */
  get inFlight(): number {
    return this.#batches.size;
  }

  send(to: number, command: Command): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (this.#queued.size === 0) setImmediate(() => this.#flush());
      const waiting: Waiting = { command, bytes: commandBytes(command), resolve, reject };
      const queue = this.#queued.get(to);
      if (queue) queue.push(waiting);
      else this.#queued.set(to, [waiting]);
    });
  }

  /** A response frame came from `from`. Throws a `BytesError` for bytes that are none. */
  receive(from: number, payload: Uint8Array): void {
    const response = decodeForwardResponse(payload);
    const batch = this.#batches.get(response.batch);
    // An answer may come after the batch was given up; that is no fault of the sender.
    if (!batch || batch.to !== from) return;
    if (response.outcomes.length !== batch.waiting.length)
      throw new BytesError(`${response.outcomes.length} outcomes for ${batch.waiting.length} forwarded commands`);
    this.#end(response.batch, batch);
    for (let i = 0; i < batch.waiting.length; i++) settle(batch.waiting[i]!, response.outcomes[i]!);
  }

  /** The connection to `id` is gone: what was sent over it may or may not have been taken. */
  linkDown(id: number): void {
    for (const [number, batch] of this.#batches)
      if (batch.to === id) this.#giveUp(number, batch, `the connection to the leader (${id}) broke`);
  }

  /** `leader` leads now: whoever led before may have fallen silent, and what it took is worth asking the new one about. */
  leaderIs(leader: number): void {
    for (const [number, batch] of this.#batches)
      if (batch.to !== leader) this.#giveUp(number, batch, `another node leads now, and ${batch.to} has not answered`);
  }

  #flush(): void {
    const queued = this.#queued;
    this.#queued = new Map();
    for (const [to, waiting] of queued)
      for (const batch of cutBatches(waiting, maxBatchBytes)) this.#sendBatch(to, batch);
  }

  #sendBatch(to: number, waiting: readonly Waiting[]): void {
    const number = this.#nextBatch++;
    const commands = waiting.map((one) => one.command);
    let sent: ReturnType<FrameSender['sendFrame']>;
    try {
      const frame = encodeForwardRequest({ batch: number, commands }, totalBytes(waiting));
      sent = this.#sender.sendFrame(to, ForwardFrame.request, frame);
    } catch (error) {
      for (const one of waiting) one.reject(error);
      return;
    }
    if (sent === 'sent') {
      const batch: Batch = {
        to,
        waiting,
        cancelTimer: this.#clock.after(this.#timeoutMs, () =>
          this.#giveUp(number, batch, `the leader (${to}) did not answer within ${this.#timeoutMs} ms`),
        ),
      };
      this.#batches.set(number, batch);
      return;
    }
    const error =
      sent === 'busy'
        ? new DcacheError('busy', 'the connection to the leader is full; try again in a moment')
        : new NotAppendedError(`there is no connection to the leader (${to}) yet`);
    for (const one of waiting) one.reject(error);
  }

  #giveUp(number: number, batch: Batch, why: string): void {
    this.#end(number, batch);
    const error = new DcacheError('unknown-outcome', `${why}; the write may or may not have been applied`);
    for (const one of batch.waiting) one.reject(error);
  }

  #end(number: number, batch: Batch): void {
    batch.cancelTimer();
    this.#batches.delete(number);
  }
}

/** The leader's side: takes a request frame and gives the response frame once every command has settled. */
export async function answerForwarded(
  payload: Uint8Array,
  appendAll: (commands: readonly Command[]) => Promise<readonly Settled[]>,
): Promise<Uint8Array> {
  // The frame may lie in a socket's buffer, and a Buffer's own slice would not copy; commands wait, so they need their own.
  const { batch, commands } = decodeForwardRequest(new Uint8Array(payload));
  const settled = await appendAll(commands);
  return encodeForwardResponse({ batch, outcomes: settled.map((one) => one.reply ?? toOutcome(one.error)) });
}

function toOutcome(error: unknown): Outcome {
  // `no-leader` tells the follower that nothing was done here, so that it may ask the next leader.
  if (error instanceof NotAppendedError) return new DcacheError('no-leader', error.message);
  return toDcacheError(error);
}

function settle(waiting: Waiting, outcome: Outcome): void {
  if (!(outcome instanceof DcacheError)) waiting.resolve(outcome);
  // `stopping` is another way of saying that the leader did not take it.
  else if (outcome.code === 'no-leader' || outcome.code === 'stopping')
    waiting.reject(new NotAppendedError(outcome.message));
  else waiting.reject(outcome);
}
