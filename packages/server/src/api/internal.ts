import type { ServerInfo } from '@dcache/protocol';
import type { ServerStatus } from '../status.js';

/** An answer of the server about itself, as JSON. */
export interface InternalAnswer {
  readonly status: number;
  readonly body: unknown;
}

/** What the server can tell about itself. */
export interface SelfKnowledge {
  /** Cheap, because probes ask for it again and again. */
  readonly isReady: boolean;
  status(): ServerStatus;
  servers(): readonly ServerInfo[];
}

/** The server's own paths, `/-/…`; undefined where there is no such page. */
export function answerInternal(path: string, self: SelfKnowledge): InternalAnswer | undefined {
  switch (path) {
    case '/-/live':
      return { status: 200, body: { live: true } };
    case '/-/ready': {
      const { isReady } = self;
      return { status: isReady ? 200 : 503, body: { ready: isReady } };
    }
    case '/-/servers':
      return { status: 200, body: self.servers() };
    case '/-/status':
      return { status: 200, body: self.status() };
    default:
      return undefined;
  }
}
