/**
 * What the tests of several packages share. Private: nothing that is published may import it.
 *
 *     const clock = new HandClock();
 *     const driver = new Driver({ clock });
 *     clock.pass(5_000); // all timers of these five seconds have run
 *     await until('the driver gave up', () => driver.hasGivenUp);
 *
 * Reading order: hand-clock.ts (time that a test moves), until.ts (waiting for what comes in its own time), turn.ts
 * (waiting for what must not come), free-port.ts, test-ca.ts (certificates, by openssl). A helper that one package alone needs stays in that package.
 */
export { type FreePortOptions, freePort } from './free-port.js';
export { HandClock } from './hand-clock.js';
export { type Certificate, TestCa } from './test-ca.js';
export { turn } from './turn.js';
export { eventually, until } from './until.js';
