/**
 * What went wrong:
 * - `corrupt-snapshot`: bytes that no snapshot holds, or one cut short; the store kept what it had.
 * - `unsupported-snapshot`: a snapshot of a format that this version does not know.
 * - `bad-cursor`: a scan cursor that another store made, or nobody.
 * - `closed`: a snapshot or restorer used after its end.
 */
export type StoreErrorCode = 'corrupt-snapshot' | 'unsupported-snapshot' | 'bad-cursor' | 'closed';

/** The one error class of this package. A missing key is `undefined` or `false`, never an error. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly code: StoreErrorCode;

  constructor(code: StoreErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
