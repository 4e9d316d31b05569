/**
 * Lets `count` turns of the event loop pass. Default 2: one turn, and what it put off to its end. For showing that
 * something does not happen; what should happen is waited for with `until`.
 */
export async function turn(count = 2): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise<void>((resolve) => setImmediate(resolve));
}
