/**
 * The client of a dcache cluster, and the command line `dcache-client`.
 *
 * ```ts
 * import { Client } from '@dcache/client';
 *
 * const client = new Client({ address: 'localhost:9200' });
 * const revision = await client.set('hello', 'this is the value', { ttlMs: 60_000 });
 * await client.set('hello', 'the next one', { ifRevision: revision });
 * console.log(await client.get('hello')); // bytes, or undefined for a miss
 * await client.close();
 * ```
 *
 * Read next: `client.ts`, then `caller.ts` (what is sent again, and to whom), `session.ts` (why that is applied once),
 * `topology.ts`, `link.ts` (one gRPC channel), `connect-fault.ts` (why it has no connection), `admin.ts`, and `main.ts` (the command line).
 */

export { ArgumentError } from '@dcache/base';
export type { EntryView, NodeStatus, ReadLevel, RestoreResult, SavedMoment, ServerInfo } from '@dcache/protocol';
export type { Admin, RestoreOptions, SaveOptions } from './admin.js';
export type { CallOptions } from './caller.js';
export {
  type Bytes,
  Client,
  type ConditionOptions,
  type DeleteOptions,
  type EntryOptions,
  type ReadOptions,
  type SetManyEntry,
  type SetOptions,
} from './client.js';
export type { ClientErrorReason } from './connect-fault.js';
export { ClientError, type ClientErrorCode } from './errors.js';
export { formatServer } from './format.js';
export { main } from './main.js';
export type { ClientOptions } from './options.js';
export type { TlsOptions } from './tls.js';
