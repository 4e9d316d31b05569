import { type Command, CommandType } from '@dcache/protocol';

/** The command with the node's default ttl wherever it names none; the same command where there is no default. */
export function withDefaultTtl(command: Command, defaultTtlMs: number): Command {
  if (defaultTtlMs === 0) return command;
  if (command.type === CommandType.set && command.ttlMs === 0) return { ...command, ttlMs: defaultTtlMs };
  if (command.type === CommandType.setMany)
    return {
      ...command,
      sets: command.sets.map((entry) => (entry.ttlMs === 0 ? { ...entry, ttlMs: defaultTtlMs } : entry)),
    };
  return command;
}
