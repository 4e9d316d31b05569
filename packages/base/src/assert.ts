/**
 * Throws when a programmer's assumption does not hold. For a peer's, a disk's or a user's misbehaviour use the
 * package's error class instead: an assertion that fails is always a bug in this code.
 */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** Marks a branch that the types rule out, such as the default of an exhaustive switch. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${String(value)}`);
}

/** An assumption of this code did not hold. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError';
}
