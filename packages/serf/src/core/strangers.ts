import type { SwimContext } from './context.js';
import type { Ping } from './message.js';
import type { Timer } from './timers.js';

/**
 * Who pings this member by its name counts it as one of theirs. One that is not known here knows it from an earlier run:
 * a member that was restarted quickly and joined nobody answers the probes of the others, so that they miss nothing, and
 * believes itself alone until the next full exchange, half a minute or more. So it meets whom it does not know.
 *
 * News of one that has only just joined is on its way, so a moment is left for that. One stranger at a time: the first
 * tells of all others, and forged pings cost no more than one exchange each `probeTimeoutMs`.
 */
export class Strangers {
  readonly #context: SwimContext;
  #timer: Timer | undefined;

  constructor(context: SwimContext) {
    this.#context = context;
  }

  stop(): void {
    this.#context.timers.cancel(this.#timer);
  }

  /** This member was pinged. */
  notice({ node, source, sourceNode }: Ping): void {
    const { table, timers, timing, nowMs, effects } = this.#context;
    if (this.#timer !== undefined || node === '' || source === undefined || !sourceNode) return;
    const isStranger = (): boolean => table.get(sourceNode) === undefined && table.size < timing.maxMembers;
    if (!isStranger()) return;
    this.#timer = timers.at(nowMs + timing.probeTimeoutMs, () => {
      this.#timer = undefined;
      if (isStranger()) effects.pushPull({ to: source, node: sourceNode, join: true });
    });
  }
}
