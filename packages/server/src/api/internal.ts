import type { ServerInfo } from '@dcache/protocol';
import type { Overview } from '../observe/overview.js';
import type { ServerStatus } from '../observe/status.js';
import { pageFile, pagePaths } from '../page/files.js';

/** An answer of the server about itself. */
export interface InternalAnswer {
  readonly status: number;
  /** Sent as JSON, unless there is `content`. */
  readonly body?: unknown;
  readonly content?: string;
  /** Beside, and instead of, those of JSON that is not to be kept. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** What the server can tell about itself. */
export interface SelfKnowledge {
  /** Cheap, because probes ask for it again and again. */
  readonly isReady: boolean;
  status(): ServerStatus;
  servers(): readonly ServerInfo[];
  overview(): Overview;
  /** Prometheus' text and its type. */
  metrics(): Promise<{ readonly text: string; readonly type: string }>;
}

/** Whether a path tells nothing that a token would protect. */
export function isOpenPath(path: string): boolean {
  return path === '/-/live' || path === '/-/ready' || pagePaths.has(path);
}

/** The server's own paths, `/-/…`; undefined where there is no such page. */
export async function answerInternal(path: string, self: SelfKnowledge): Promise<InternalAnswer | undefined> {
  switch (path) {
    case '/-/live':
      return { status: 200, body: { live: true } };
    case '/-/ready': {
      const { isReady } = self;
      if (isReady) return { status: 200, body: { ready: true } };
      // Not text as errors are: probes and people that read the body find the same in it either way.
      return { status: 503, body: { ready: false }, headers: { 'dcache-error': 'not-ready', 'retry-after': '1' } };
    }
    case '/-/servers':
      return { status: 200, body: self.servers() };
    case '/-/status':
      return { status: 200, body: self.status() };
    case '/-/overview':
      return { status: 200, body: self.overview() };
    case '/-/metrics': {
      const { text, type } = await self.metrics();
      return { status: 200, content: text, headers: { 'content-type': type } };
    }
    default:
      return pageFile(path);
  }
}
