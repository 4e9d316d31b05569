/** A file that the user named and that cannot be used, with what the system says in words. */
export class FileError extends Error {
  override readonly name = 'FileError';

  constructor(file: string, purpose: 'read' | 'written', cause: Error) {
    const why = /^\w+: ([^,]+)/.exec(cause.message)?.[1] ?? cause.message;
    super(`${file} cannot be ${purpose}: ${why}`, { cause });
  }
}

/** Whether a system call failed, and not a server. */
export function isOfDisk(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).syscall === 'string';
}
