import type { Logger } from '@dcache/base';

/** Fields of the consensus part's log lines that hold the Raft id of a member, or a list of them. */
const memberFields: ReadonlySet<string> = new Set(['to', 'from', 'leader', 'full', 'silent']);

/** The same logger for a part that knows members by their Raft ids: `nameOf` puts their names in the place of those. */
export function withMemberNames(logger: Logger, nameOf: (id: number) => string | undefined): Logger {
  const named = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(named);
    return typeof value === 'number' ? (nameOf(value) ?? value) : value;
  };
  const fieldsOf = (fields: object): object =>
    Object.fromEntries(
      Object.entries(fields).map(([name, value]) => [name, memberFields.has(name) ? named(value) : value]),
    );
  return {
    debug: (fields, message) => logger.debug(fieldsOf(fields), message),
    info: (fields, message) => logger.info(fieldsOf(fields), message),
    warn: (fields, message) => logger.warn(fieldsOf(fields), message),
    error: (fields, message) => logger.error(fieldsOf(fields), message),
  };
}
