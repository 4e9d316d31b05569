/**
 * A key, a value or an option that is not allowed: a mistake of the calling program. The message names it, what was given
 * and what is allowed; nothing was done.
 */
export class ArgumentError extends TypeError {
  readonly code = 'bad-argument';
}

/** The names of an interface's members, all of them: the compiler checks it. */
export type Known<T> = Readonly<Record<keyof T, true>>;

const shownCharacters = 80;

/** A value as an error message shows it: short, in one line, and never an error itself. */
export function show(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value.length > shownCharacters ? `${value.slice(0, shownCharacters)}…` : value);
    case 'function':
      return 'a function';
    case 'object':
      return value === null ? 'null' : Array.isArray(value) ? `an array of ${value.length}` : 'an object';
    default:
      return String(value);
  }
}
