import { constants, fstatSync, openSync, write, writeSync } from 'node:fs';

/** What takes the bytes of a log. */
export interface LogTarget {
  /** Writes some of the bytes and gives how many: 0 where there is no room now. */
  writeSync(bytes: Uint8Array): number;
  /** The same by another thread, where a write may take its time. */
  readonly writeInThread?: (bytes: Uint8Array, done: (written: number) => void) => void;
}

/**
 * Standard error, so that a write to it never waits for a reader. A pipe or a socket that is full says so at once; what
 * stands still is a disk, and then it is another thread that waits.
 */
export function standardError(): LogTarget {
  const found = fstatSync(2);
  if (found.isFIFO() || found.isSocket()) {
    // Node makes it non-blocking as it opens it.
    void process.stderr;
    return { writeSync: (bytes) => writeNow(2, bytes) };
  }
  if (found.isCharacterDevice()) {
    try {
      // A terminal that its user holds (Ctrl-S); opened anew, because others write to this one, too.
      const fd = openSync('/proc/self/fd/2', constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
      return { writeSync: (bytes) => writeNow(fd, bytes) };
    } catch {
      // Another system, or somebody else's terminal.
    }
  }
  return {
    writeSync: (bytes) => writeNow(2, bytes),
    writeInThread: (bytes, done) => write(2, bytes, (error, written) => done(error ? lost(error, bytes) : written)),
  };
}

function writeNow(fd: number, bytes: Uint8Array): number {
  try {
    return writeSync(fd, bytes);
  } catch (error) {
    return lost(error as NodeJS.ErrnoException, bytes);
  }
}

/** A reader that is gone takes everything; a disk that is full may have room again. */
function lost({ code }: NodeJS.ErrnoException, bytes: Uint8Array): number {
  return code === 'EPIPE' || code === 'ECONNRESET' || code === 'EBADF' ? bytes.length : 0;
}
