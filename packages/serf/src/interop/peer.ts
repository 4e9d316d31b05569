/**
 * One of our nodes as a process of its own, so that it can be stopped, killed and started anew from outside. Takes its
 * options as JSON in the first argument and commands as JSON lines on standard input; tells what happens, and answers,
 * as JSON lines on standard output.
 */
import { createInterface } from 'node:readline';
import { fromUtf8 } from '@dcache/base';
import { type Member, Serf, type SerfOptions, startAgentRpc } from '../index.js';

interface Command {
  readonly id: number;
  readonly do: 'join' | 'members' | 'tags' | 'event' | 'query' | 'leave' | 'stats' | 'force-leave' | 'rpc';
  readonly addresses?: string[];
  readonly tags?: Record<string, string>;
  readonly name?: string;
  readonly payload?: string;
  readonly prune?: boolean;
  readonly ack?: boolean;
  readonly relayFactor?: number;
}

const options = JSON.parse(process.argv[2] ?? '{}') as SerfOptions;

function say(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

function plain(member: Member): object {
  return { ...member, tags: Object.fromEntries(member.tags) };
}

const log =
  (level: string) =>
  (fields: object, message: string): void =>
    say({ log: level, message, ...fields });
const logger = { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') };
const serf = new Serf({ ...options, logger });
for (const kind of ['member-join', 'member-leave', 'member-failed', 'member-update', 'member-reap'] as const)
  serf.on(kind, (member) => say({ event: kind, name: member.name, status: member.status, member: plain(member) }));
serf.on('user', ({ name, payload, lTime, coalesce }) =>
  say({ event: 'user', name, payload: fromUtf8(payload), lTime, coalesce }),
);
serf.on('query', (query) => {
  say({ event: 'query', name: query.name, payload: fromUtf8(query.payload), from: query.from });
  if (query.name !== 'mute') query.respond(new TextEncoder().encode(`${query.name} from ${options.name}`));
});
serf.on('conflict', (report) => say({ event: 'conflict', ...report }));
serf.on('shutdown', (reason) => {
  say({ event: 'shutdown', name: options.name, reason: reason.message });
  process.exit(3);
});

async function obey(command: Command): Promise<unknown> {
  switch (command.do) {
    case 'join':
      return serf.join(command.addresses ?? []);
    case 'members':
      return serf.members().map(plain);
    case 'tags':
      return serf.setTags(command.tags ?? {});
    case 'event':
      return serf.userEvent(command.name ?? '', command.payload ?? '');
    case 'query': {
      const { ack = true, relayFactor = 0 } = command;
      const items: object[] = [];
      for await (const item of serf.query(command.name ?? '', command.payload ?? '', { ack, relayFactor }))
        items.push(item.type === 'ack' ? item : { ...item, payload: fromUtf8(item.payload) });
      return items;
    }
    case 'force-leave':
      return serf.forceLeave(command.name ?? '', { prune: command.prune === true });
    case 'stats':
      return serf.stats();
    case 'rpc':
      return (await startAgentRpc(serf, { bind: '127.0.0.1:0' })).address;
    case 'leave':
      return serf.leave();
  }
}

await serf.start();
say({ ready: serf.address });
createInterface({ input: process.stdin })
  .on('line', (line) => {
    const command = JSON.parse(line) as Command;
    obey(command).then(
      (result) => {
        say({ id: command.id, result: result ?? null });
        if (command.do === 'leave') process.exit(0);
      },
      (error: Error) => say({ id: command.id, error: error.message }),
    );
  })
  // Whoever started this process is gone.
  .on('close', () => process.exit(0));
