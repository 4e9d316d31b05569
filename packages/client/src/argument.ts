import { types } from 'node:util';
import { ArgumentError, show, utf8 } from '@dcache/base';
import { ReadLevel } from '@dcache/protocol';

/** A key or a value: text counts as UTF-8. */
export type Bytes = Uint8Array | string;

/** What every call takes. */
export const callOptions = { signal: true, timeoutMs: true } as const;
export const readOptions = { signal: true, timeoutMs: true, level: true } as const;

/** The most that `timeoutMs` takes, and what else is a time of this client: a day. */
export const maxTimeoutMs = 86_400_000;

/** Names that others use for the same, libraries and this project's command lines. */
const aliases: Readonly<Record<string, string>> = { consistency: 'level', adress: 'address', revision: 'ifRevision' };

/**
 * Refuses what is no object, and an object with a member that `known` does not list: it would do nothing. `of` begins the
 * message: `set`, `new Client`.
 */
export function checkKnown(of: string, options: unknown, known: Readonly<Record<string, true>>): void {
  if (options === null || typeof options !== 'object' || Array.isArray(options))
    throw new ArgumentError(`the options of ${of} are ${show(options)}; it takes an object`);
  for (const name in options) {
    if (Object.hasOwn(known, name)) continue;
    const meant = Object.keys(known).find((one) => one === aliases[name] || one === `${name}Ms`);
    const hint = meant === undefined ? '' : `; is ${meant} meant${meant.endsWith('Ms') ? ', in milliseconds' : ''}?`;
    const names = Object.keys(known).join(', ');
    throw new ArgumentError(`${of} has no option ${show(name)}; it takes ${names}${hint}`);
  }
}

/** The options that every call has; `known` has all that this one has. */
export function checkCall(
  of: string,
  options: { readonly signal?: unknown; readonly timeoutMs?: unknown; readonly level?: unknown },
  known: Readonly<Record<string, true>> = callOptions,
): void {
  checkKnown(of, options, known);
  const { signal, timeoutMs, level } = options;
  checkTimeout(timeoutMs);
  checkLevel(level);
  // Not by its class: other realms and libraries bring their own.
  const methods = Object(signal) as Partial<AbortSignal>;
  if (signal !== undefined && (typeof methods.aborted !== 'boolean' || typeof methods.addEventListener !== 'function'))
    throw new ArgumentError(`signal is ${show(signal)}; it takes an AbortSignal`);
}

function checkTimeout(value: unknown): void {
  if (value !== undefined && !(typeof value === 'number' && value > 0 && value <= maxTimeoutMs))
    throw new ArgumentError(`timeoutMs is ${show(value)}; it takes a number above 0 and up to ${maxTimeoutMs}`);
}

export function checkLevel(value: unknown): void {
  const levels: readonly unknown[] = Object.values(ReadLevel);
  if (value !== undefined && !levels.includes(value))
    throw new ArgumentError(`level is ${show(value)}; it takes ${levels.join(', ')}`);
}

export function checkBoolean(name: string, value: unknown): void {
  if (value !== undefined && typeof value !== 'boolean')
    throw new ArgumentError(`${name} is ${show(value)}; it takes true or false`);
}

/** An integer of an option, or undefined where it is left out. */
export function checkInteger(name: string, value: unknown, least: number, most: number): void {
  if (value !== undefined && !(Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most))
    throw new ArgumentError(`${name} is ${show(value)}; it takes an integer from ${least} to ${most}`);
}

export function checkText(name: string, value: unknown, takes: string): void {
  if (typeof value !== 'string') throw new ArgumentError(`${name} is ${show(value)}; it takes ${takes}`);
}

export function checkArray(name: string, value: unknown, of: string): void {
  if (!Array.isArray(value)) throw new ArgumentError(`${name} is ${show(value)}; it takes an array of ${of}`);
}

/** Those of another realm, a test runner's say, are bytes too. */
export function checkBytes(name: string, value: unknown): void {
  if (!types.isUint8Array(value)) throw new ArgumentError(`${name} is ${show(value)}; it takes bytes (a Uint8Array)`);
}

/** The bytes of a key or a value; nothing stands for an empty one but an empty one. */
export function toBytes(name: string, value: unknown): Uint8Array {
  if (typeof value === 'string') {
    // Encoding would put U+FFFD in the place of each half: different keys would be one, and a value would be another.
    if (!value.isWellFormed())
      throw new ArgumentError(
        `${name} is ${show(value)}, with half of a surrogate pair; it takes text that UTF-8 can hold, or bytes`,
      );
    return utf8(value);
  }
  if (types.isUint8Array(value)) return value;
  throw new ArgumentError(`${name} is ${show(value)}; it takes bytes (a Uint8Array) or text`);
}
