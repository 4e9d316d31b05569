import { sameEndpoint } from './core/members.js';
import type { Endpoint } from './core/message.js';
import type { Driver } from './driver.js';
import { resolveEndpoints } from './host.js';
import { untilAborted } from './until-aborted.js';

/** What `Serf.join` may be told. */
export interface JoinOptions {
  readonly signal?: AbortSignal;
  /** Also deliver user events that were sent before the join, as far as members remember them. Default false. */
  readonly replay?: boolean;
}

interface JoinParts {
  readonly driver: Driver;
  readonly endpoint: Endpoint;
  /** One has answered, and what it said is not known here yet. */
  readonly onAnswer: () => void;
}

/**
 * Swaps what is known of the members with the node at an address; of a name with several addresses with all of them.
 * Undefined when one answered, otherwise every fault in one line. Never rejects.
 */
export async function joinAddress(
  address: string,
  { driver, endpoint, onAnswer }: JoinParts,
  { signal, replay = false }: JoinOptions,
): Promise<string | undefined> {
  const faults: string[] = [];
  let isReached = false;
  try {
    // A lookup does not heed the signal; who waits for it has others to answer to.
    for (const target of await untilAborted(resolveEndpoints(address, endpoint.port), signal)) {
      if (sameEndpoint(target, endpoint)) faults.push('it is this member itself');
      else
        await driver.pushPull(target, true, { ignoreOldEvents: !replay, signal, onAnswer }).then(
          () => {
            isReached = true;
          },
          (error: Error) => faults.push(error.message),
        );
      if (signal?.aborted === true) break;
    }
  } catch (error) {
    faults.push((error as Error).message);
  }
  if (isReached) return undefined;
  const told = faults.join(', ');
  return told.startsWith(address) ? told : `${address}: ${told}`;
}
