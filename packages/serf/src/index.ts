/**
 * Cluster membership that speaks the protocol of HashiCorp Serf: who is in the pool, who is up, what they announce,
 * and small events and queries to all of them. A full peer of Serf agents, and usable without any.
 *
 * ```ts
 * import { lan, Serf } from '@dcache/serf';
 *
 * const serf = new Serf({ ...lan(), name: 'node1', bind: '127.0.0.1:0', tags: { role: 'cache' } });
 * serf.on('member-join', (member) => console.log(`${member.name} is at ${member.address}:${member.port}`));
 * await serf.start();
 * await serf.join(['127.0.0.1:7946']);
 * serf.userEvent('deploy', 'v1.2.3');
 * for await (const item of serf.query('uptime')) console.log(item.from, item.type);
 * await serf.leave();
 * ```
 *
 * `SerfCore` is the same member without sockets and clock, for simulations.
 *
 * Read next: `core/serf.ts` (the upper layer), `core/swim.ts` and `core/claims.ts` (the lower one), `core/prober.ts`
 * and `core/lifeguard.ts` (failure detection), `wire/packet.ts` (the bytes), `driver.ts` and `node.ts` (what awaits).
 */
export type { ConflictReport } from './conflict.js';
export { lan, local, type Timing, wan } from './core/config.js';
export type { MessageCodec } from './core/context.js';
export { estimateRttSeconds } from './core/coordinate.js';
export type { Effects, PushPull, Send, SerfEvent, StreamPing, UserEvent } from './core/effects.js';
export type { Coordinate, Endpoint, PushPullState, SwimMessage, Tags } from './core/message.js';
export type { Member, MemberStatus } from './core/roster.js';
export { SerfCore, type SerfCoreSetup } from './core/serf.js';
export { SerfError, type SerfErrorCode } from './errors.js';
export type { JoinOptions } from './join.js';
export type { KeyManager, KeyReport } from './keys.js';
export { Serf, type SerfEvents } from './node.js';
export type { SerfOptions } from './options.js';
export type { IncomingQuery, QueryAck, QueryAnswer, QueryHandle, QueryOptions } from './query.js';
export { type AgentRpc, type AgentRpcOptions, startAgentRpc } from './rpc/server.js';
export type { Seeker, SeekOptions } from './seeker.js';
export type { SerfStats } from './stats.js';
export { CachingCodec } from './wire/codec.js';
export { Keyring } from './wire/keyring.js';
