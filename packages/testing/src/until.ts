/** What a condition may take on a busy machine before a test gives up on it: only a fault uses it up. */
const patienceMs = 30_000;

/** How often a check looks at this process, and how often it asks another one. */
const lookMs = 1;
const askMs = 20;

/** Taken before a test can put timers of its own in the place of these. */
const { setTimeout } = globalThis;

/** What is not there yet is undefined or false. */
type Check<Result> = () => Promise<Result | undefined | false> | Result | undefined | false;

/**
 * Waits until `check` gives something other than undefined or false, and gives that. After `limitMs` (default 30,000) it
 * rejects with the sentence `what`, which says what did not come. What `check` throws ends the wait at once.
 *
 * A check that looks at this process is made every millisecond; one that gives a promise, and so asks somebody else,
 * waits 20 ms between its answers.
 */
export async function until<Result>(what: string, check: Check<Result>, limitMs: number = patienceMs): Promise<Result> {
  const endMs = performance.now() + limitMs;
  for (;;) {
    const asked = check();
    const result = await asked;
    if (result !== undefined && result !== false) return result;
    if (performance.now() > endMs) throw new Error(`not within ${limitMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, asked instanceof Promise ? askMs : lookMs));
  }
}

/**
 * The same for what may fail until it comes about, such as a request to a process that does not listen yet: what `check`
 * throws means "not yet", and the last of it stands behind the sentence.
 */
export async function eventually<Result>(
  what: string,
  check: Check<Result>,
  limitMs: number = patienceMs,
): Promise<Result> {
  let last: unknown;
  const attempt = async (): Promise<Result | undefined | false> => {
    try {
      return await check();
    } catch (error) {
      last = error;
      return undefined;
    }
  };
  try {
    return await until(what, attempt, limitMs);
  } catch (error) {
    if (last === undefined) throw error;
    throw new Error(`${(error as Error).message} (last error: ${String(last)})`, { cause: last });
  }
}
