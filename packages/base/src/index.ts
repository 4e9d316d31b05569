/**
 * What every package of dcache stands on, and nothing more: assertions, wrong arguments, bytes, time, randomness, and
 * the shape of a logger. No package of the workspace is imported here.
 *
 * ```ts
 * import { ByteReader, ByteWriter } from '@dcache/base';
 *
 * const bytes = new ByteWriter().u8(1).text('hello').copy();
 * const reader = new ByteReader(bytes);
 * console.log(reader.u8(), reader.text()); // 1 hello
 * ```
 *
 * Read next: `bytes.ts`, `clock.ts`, `random.ts`.
 */
export { ArgumentError, type Known, show } from './argument.js';
export { AssertionError, assert, unreachable } from './assert.js';
export {
  ByteReader,
  BytesError,
  ByteWriter,
  compareBytes,
  concatBytes,
  equalBytes,
  fromUtf8,
  tryFromUtf8,
  utf8,
} from './bytes.js';
export { type Clock, systemClock } from './clock.js';
export { type Logger, silentLogger } from './logger.js';
export { type Random, SeededRandom, systemRandom } from './random.js';
