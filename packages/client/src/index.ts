/**
 * The client of a dcache cluster, and the command line `dcache-client`.
 *
 * ```ts
 * import { Client } from '@dcache/client';
 *
 * const client = new Client({ address: 'localhost:9200' });
 * await client.set('hello', 'this is the value');
 * console.log(await client.get('hello')); // bytes, or undefined for a miss
 * client.close();
 * ```
 *
 * Read next: `client.ts`, then `link.ts` (one gRPC channel) and `main.ts` (the command line).
 */
export { Client, type ClientOptions } from './client.js';
export { ClientError, type ClientErrorCode } from './errors.js';
export { formatServer } from './format.js';
export type { CallOptions } from './link.js';
export { main } from './main.js';
