import type { Logger } from '@dcache/base';
import { fromUtf8 } from '@dcache/base';
import type { SerfCore } from './core/serf.js';
import type { KeyManager } from './keys.js';
import type { IncomingQuery } from './query.js';
import { encodeConflictResponse, encodeKeyResponse, type KeyResponse } from './wire/internal.js';

/** Names that members use among themselves; applications never see them. */
const prefix = '_serf_';

export function isInternal(name: string): boolean {
  return name.startsWith(prefix);
}

export interface InternalQueryContext {
  readonly core: SerfCore;
  readonly keys: KeyManager;
  readonly logger: Logger;
  /** Largest answer on the wire. */
  readonly responseBytes: number;
}

/** Bytes an answer takes beyond its payload, generously. */
const responseOverheadBytes = 300;

export function answerInternalQuery(query: IncomingQuery, context: InternalQueryContext): void {
  const { core, keys, logger } = context;
  switch (query.name) {
    case '_serf_ping':
      // The ack, which was sent already, is all there is to it.
      break;
    case '_serf_conflict': {
      const name = fromUtf8(query.payload);
      // The members that own the name are what is asked about, so they have no vote.
      if (name === core.self.name) return;
      respond(query, encodeConflictResponse(core.roster.get(name), core.roster.endpoint(name)), logger);
      break;
    }
    case '_serf_install-key':
    case '_serf_use-key':
    case '_serf_remove-key':
    case '_serf_list-keys':
      keys.answer(query.name, query.payload).then(
        (response) => respond(query, fit(response, context.responseBytes), logger),
        (error: Error) => logger.warn({ query: query.name, error: error.message }, 'a key query could not be answered'),
      );
      break;
    default:
      logger.warn({ query: query.name, from: query.from }, 'an internal query that is not known here');
  }
}

/** Leaves out the last keys of a list until the answer fits, and says so. */
function fit(response: KeyResponse, responseBytes: number): Uint8Array {
  let kept = response.keys.length;
  for (;;) {
    const message =
      kept === response.keys.length ? response.message : `truncated to ${kept} of ${response.keys.length}`;
    const payload = encodeKeyResponse({ ...response, keys: response.keys.slice(0, kept), message });
    if (payload.length + responseOverheadBytes <= responseBytes || kept === 0) return payload;
    kept--;
  }
}

function respond(query: IncomingQuery, payload: Uint8Array, logger: Logger): void {
  try {
    query.respond(payload);
  } catch (error) {
    logger.warn({ query: query.name, error: (error as Error).message }, 'an internal query could not be answered');
  }
}
