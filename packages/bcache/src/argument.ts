import { ArgumentError, show } from '@dcache/base';

/** Refuses what is no object, and an object with a member that `known` does not list: it would do nothing. */
export function checkKnown(options: object, known: Readonly<Record<string, true>>, of: string): void {
  if (options === null || typeof options !== 'object' || Array.isArray(options))
    throw new ArgumentError(`${of} takes an object of options, got ${show(options)}`);
  for (const name in options)
    if (known[name] !== true)
      throw new ArgumentError(`${of} has no option ${show(name)}; it has ${Object.keys(known).join(', ')}`);
}

/** Refuses half of a surrogate pair: UTF-8 has no such thing, so that on other nodes different names would be one. */
export function checkWellFormed(of: string, text: string): void {
  if (!text.isWellFormed())
    throw new ArgumentError(`${of} takes text that UTF-8 can hold, got ${show(text)} with half of a surrogate pair`);
}

/** Refuses what lacks one of the methods. */
export function checkMethods(option: string, value: unknown, methods: readonly string[]): void {
  const object = (typeof value === 'object' && value !== null) || typeof value === 'function' ? value : {};
  const missing = methods.filter((method) => typeof (object as Record<string, unknown>)[method] !== 'function');
  if (missing.length > 0)
    throw new ArgumentError(
      `${option} takes an object with the methods ${methods.join(', ')}, got ${show(value)} without ${missing.join(', ')}`,
    );
}

export function checkInteger(option: string, value: unknown, least: number, most: number): number {
  if (!Number.isInteger(value) || (value as number) < least || (value as number) > most)
    throw new ArgumentError(`${option} takes an integer from ${least} to ${most}, got ${show(value)}`);
  return value as number;
}

export function oneOf<T extends string>(option: string, value: unknown, allowed: readonly T[]): T {
  if (!allowed.includes(value as T))
    throw new ArgumentError(`${option} takes ${allowed.join(', ')}, got ${show(value)}`);
  return value as T;
}
