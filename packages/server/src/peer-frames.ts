import { BytesError, type Logger } from '@dcache/base';
import type { Command } from '@dcache/protocol';
import type { Settled } from './log/group-commit.js';
import { departureResponse } from './members/departure.js';
import { answerForwarded, ForwardFrame } from './peers/forwarder.js';
import type { Reply as ReplyFrame } from './peers/peers.js';

/** What a peer's frames may ask of this node; undefined members while it is still starting. */
export interface FrameTargets {
  /** Applies forwarded commands, if this node leads. */
  readonly appendAll: ((commands: readonly Command[]) => Promise<readonly Settled[]>) | undefined;
  /** Takes the peer out of the configuration, if this node leads. */
  readonly remove: ((id: number) => Promise<void>) | undefined;
  readonly onForwarded: (from: number, payload: Uint8Array) => void;
  readonly onLeaveAnswered: (payload: Uint8Array) => void;
}

/** Understands the frames between nodes that are not Raft's own. Throws a `BytesError` for one that it does not know. */
export function handlePeerFrame(
  from: number,
  kind: number,
  payload: Uint8Array,
  reply: ReplyFrame,
  targets: FrameTargets,
  logger: Logger,
): void {
  switch (kind) {
    case ForwardFrame.request:
      if (!targets.appendAll) return;
      answerForwarded(payload, targets.appendAll).then(
        (response) => void reply(ForwardFrame.response, response),
        (error) => logger.warn({ err: error, from }, 'a forwarded batch could not be read'),
      );
      return;
    case ForwardFrame.response:
      targets.onForwarded(from, payload);
      return;
    case ForwardFrame.leaveRequest: {
      const removed = targets.remove?.(from) ?? Promise.reject(new Error('starting'));
      removed.then(
        () => void reply(ForwardFrame.leaveResponse, departureResponse(true)),
        () => void reply(ForwardFrame.leaveResponse, departureResponse(false)),
      );
      return;
    }
    case ForwardFrame.leaveResponse:
      targets.onLeaveAnswered(payload);
      return;
    default:
      throw new BytesError(`a peer frame of unknown kind ${kind}`);
  }
}
