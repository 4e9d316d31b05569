/** Runs one check of the list and notes how it went; what the check returns is a detail for the report. */
export type Check = (id: number, title: string, run: () => Promise<string | undefined>) => Promise<void>;

export interface CheckResult {
  readonly id: number;
  readonly title: string;
  readonly tookMs: number;
  readonly detail: string;
  readonly error: Error | undefined;
  /** Why it could not be run here; then it counts neither way. */
  readonly skipped?: string;
}

/** Thrown by a check that this machine cannot run. */
export class Skip extends Error {
  override readonly name = 'Skip';
}

export function recorder(results: CheckResult[], onResult: (result: CheckResult) => void = () => {}): Check {
  return async (id, title, run) => {
    const startMs = performance.now();
    let [detail, error, skipped] = ['', undefined as Error | undefined, undefined as string | undefined];
    try {
      detail = (await run()) ?? '';
    } catch (thrown) {
      if (thrown instanceof Skip) skipped = thrown.message;
      else error = thrown as Error;
    }
    const tookMs = Math.round(performance.now() - startMs);
    const result = { id, title, tookMs, detail, error, ...(skipped === undefined ? {} : { skipped }) };
    results.push(result);
    onResult(result);
  };
}
