/**
 * The dcache server as a library: one node of a cluster, inside your process.
 *
 * ```ts
 * import { Server } from 'dcache';
 *
 * const server = new Server({ http: true, bootstrap: true, id: 'node1' });
 * await server.start();
 * console.log(`curl -X POST -d 'this is the value' http://${server.rpcAddr}/hello`);
 * process.once('SIGINT', () => server.stop());
 * ```
 *
 * Read next: `server.ts` (how the parts are put together), `router.ts` (where a request goes), `state/state-machine.ts`
 * (what is replicated), `members/membership.ts` and `members/reconcile.ts` (who belongs).
 */
export { main } from './main.js';
export type { ServerStatus } from './observe/status.js';
export { Server } from './server.js';
export type { ServerParts } from './server-parts.js';
export type { ServerOptions } from './settings/options.js';
/** What is replicated, without the server around it: for simulations and tools. */
export { CacheStateMachine } from './state/state-machine.js';
