import type { Logger } from '@dcache/base';
import type { ResolvedOptions } from '../settings/options.js';
import type { Bounds } from '../state/state-machine.js';

/**
 * Tells who starts a node with bounds of its own that the cluster has others. They are replicated state: all nodes evict
 * alike, so only the founder's count.
 */
export class FoundingBounds {
  readonly #options: Pick<ResolvedOptions, 'id' | 'asked'>;
  readonly #logger: Logger;
  #said = '';

  constructor(options: Pick<ResolvedOptions, 'id' | 'asked'>, logger: Logger) {
    this.#options = options;
    this.#logger = logger;
  }

  /** The log, or a snapshot, says how the cache is bounded. Warns where other bounds were given; once of the same. */
  are({ maxBytes, eviction }: Bounds): void {
    const { id, asked } = this.#options;
    const others: [flag: string, founded: string | number, own: string | number | undefined][] = [
      ['--max-bytes', maxBytes, asked.maxBytes],
      ['--eviction', eviction, asked.eviction],
    ];
    const differing = others.filter(([, founded, own]) => own !== undefined && own !== founded);
    const of = (value: 1 | 2): string => differing.map((one) => `${one[0]} ${one[value]}`).join(' and ');
    const said = of(1);
    if (said === this.#said) return;
    this.#said = said;
    if (differing.length === 0) return;
    const [have, none] = differing.length > 1 ? ['have', 'these'] : ['has', 'it'];
    this.#logger.warn(
      { id, maxBytes, eviction },
      `the cluster was founded with ${said}; ${of(2)} of this node ${have} no effect: only a cluster that is founded anew takes ${none}`,
    );
  }
}
