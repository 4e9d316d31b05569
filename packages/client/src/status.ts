import type { NodeStatus, ServerInfo } from '@dcache/protocol';
import type { Client } from './client.js';
import { type ClusterFault, faultOf } from './health.js';

/** A server's own view, or why it gave none. */
type ToldView = (NodeStatus & { readonly version: string }) | Unanswered;
interface Unanswered {
  readonly id: string;
  readonly rpcAddr: string;
  readonly error: string;
}

/** What `dcache-client status` tells. */
export interface ClusterStatus {
  readonly views: readonly ToldView[];
  /** Why the cluster takes no writes; undefined while it does. */
  readonly fault: ClusterFault | undefined;
}

/** Every server's own view; one that does not answer is told apart. */
export async function statusOf(
  client: Client,
  addresses: readonly string[],
  signal: AbortSignal,
): Promise<ClusterStatus> {
  let servers: readonly Pick<ServerInfo, 'id' | 'rpcAddr' | 'voteStatus'>[] = await client.servers({ signal });
  let asked: readonly ToldView[] | undefined;
  if (servers.length === 0) {
    // Who answered knows of no members: of the addresses that were given another may.
    asked = await viewsOf(
      client,
      addresses.map((rpcAddr) => ({ id: '-', rpcAddr })),
      signal,
    );
    servers = asked.flatMap((view) => ('error' in view ? [] : [view.servers])).find((told) => told.length > 0) ?? [];
  }
  const views = servers.length === 0 && asked ? asked : await viewsOf(client, servers, signal);
  return { views, fault: faultOf(servers, views) };
}

function viewsOf(
  client: Client,
  servers: readonly { readonly id: string; readonly rpcAddr: string }[],
  signal: AbortSignal,
): Promise<ToldView[]> {
  return Promise.all(
    servers.map(async ({ id, rpcAddr }) => {
      try {
        return await client.admin.status(rpcAddr, { signal });
      } catch (error) {
        if (signal.aborted) throw error;
        return { id, rpcAddr, error: (error as Error).message };
      }
    }),
  );
}
