/** What `sayLast` needs of a `pino` logger. */
export interface LastLogger {
  isLevelEnabled(level: 'fatal'): boolean;
  fatal(fields: object, message: string): void;
}

/**
 * Says once why a node that ran has to end: as the last line of the log, at level `fatal`, for whoever collects it; as
 * text to people at a terminal. A log that is turned off must not hide why the process is gone.
 */
export function sayLast(
  error: unknown,
  logger: LastLogger,
  stderr: { readonly isTTY?: boolean | undefined; write(text: string): unknown },
): void {
  const { message, name, stack } = error instanceof Error ? error : new Error(String(error));
  if (stderr.isTTY || !logger.isLevelEnabled('fatal')) stderr.write(`dcache: ${message}\n`);
  else logger.fatal({ err: { type: name, stack: callsOf(stack) } }, message);
}

/** A stack without the message at its head. */
function callsOf(stack = ''): string {
  return stack.slice(Math.max(0, stack.search(/^ +at /m)));
}
