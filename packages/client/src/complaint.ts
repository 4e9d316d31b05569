/** What went wrong, for programs. */
export interface Complaint {
  /** A `ClientErrorCode`, or `bad-argument` for the command line and `file` for a file of this machine. */
  readonly code: string;
  readonly reason?: string | undefined;
  readonly message: string;
}

/** Says in one line on standard error what went wrong: `text` for people, the other for programs. */
export function complain(isJson: boolean, text: string, { code, reason, message }: Complaint): void {
  process.stderr.write(
    isJson ? `${JSON.stringify({ error: { code, reason, message } })}\n` : `dcache-client: ${text}\n`,
  );
}
