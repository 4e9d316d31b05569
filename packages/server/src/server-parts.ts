import type { Clock, Logger } from '@dcache/base';

/** What a server may be given beside its options. */
export interface ServerParts {
  /** Default silent. */
  readonly logger?: Logger;
  /** Give each request an id and a line at level debug. Default false. */
  readonly logsRequests?: boolean;
  /** For the metrics: lines of the log that nobody took. Default none are. */
  readonly droppedLogLines?: () => number;
  /** Default the machine's. */
  readonly clock?: Clock;
  /**
   * Called once when the node has to end by itself: its disk or log failed, its name is taken, or it found itself among
   * the nodes of another cluster. Default: the error is thrown as an uncaught exception, so that it cannot be missed.
   */
  readonly onFatal?: (error: Error) => void;
  /** Called once the node has left the cluster because a client asked for it, and has stopped. */
  readonly onLeft?: () => void;
}

/** An error that nobody listens for must not be lost: a node that cannot go on would look alive. */
export function throwFatal(error: Error): void {
  setImmediate(() => {
    throw error;
  });
}
