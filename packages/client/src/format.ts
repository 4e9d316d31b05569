import type { ServerInfo } from '@dcache/protocol';

/** A server as the original's client prints it: protobuf text on one line, false and empty fields left out. */
export function formatServer(server: ServerInfo): string {
  const fields: string[] = [];
  if (server.id !== '') fields.push(`id:${JSON.stringify(server.id)}`);
  if (server.rpcAddr !== '') fields.push(`rpc_addr:${JSON.stringify(server.rpcAddr)}`);
  if (server.isLeader) fields.push('is_leader:true');
  if (server.voteStatus) fields.push(`vote_status:${JSON.stringify(server.voteStatus)}`);
  return fields.join('  ');
}
