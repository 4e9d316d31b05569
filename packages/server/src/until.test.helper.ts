/** Waits until `check` holds; says `what` did not happen after a patience that only a fault uses up. */
export async function until(what: string, check: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 10_000;
  while (!check()) {
    if (performance.now() > deadlineMs) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
