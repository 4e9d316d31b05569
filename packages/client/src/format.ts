import type { NodeStatus, SavedMoment, ServerInfo } from '@dcache/protocol';
import type { SaveLevel } from './command-line.js';

/** A server as the original's client prints it: protobuf text on one line, false and empty fields left out. */
export function formatServer(server: ServerInfo): string {
  const fields: string[] = [];
  if (server.id !== '') fields.push(`id:${JSON.stringify(server.id)}`);
  if (server.rpcAddr !== '') fields.push(`rpc_addr:${JSON.stringify(server.rpcAddr)}`);
  if (server.isLeader) fields.push('is_leader:true');
  if (server.voteStatus) fields.push(`vote_status:${JSON.stringify(server.voteStatus)}`);
  return fields.join('  ');
}

/** A table of the servers' own views, one a line, and below it a line for each whose disk is full. */
export function formatStatus(
  views: readonly (NodeStatus | { readonly id: string; readonly rpcAddr: string; readonly error: string })[],
): string[] {
  const rows = [['id', 'address', 'role', 'ready', 'term', 'applied', 'entries', 'bytes', 'state hash']];
  for (const view of views) {
    if ('error' in view) rows.push([view.id, view.rpcAddr, `no answer: ${view.error}`]);
    else {
      const { id, rpcAddr, role, isReady, term, appliedIndex, entries, liveBytes, stateHash } = view;
      const numbers = [term, appliedIndex, entries].map(String);
      rows.push([id, rpcAddr, role, isReady ? 'yes' : 'no', ...numbers, formatBytes(liveBytes), stateHash]);
    }
  }
  const full = rows.filter((row) => row.length === rows[0]!.length);
  const widths = rows[0]!.map((_, at) => Math.max(...(at < 2 ? rows : full).map((row) => (row[at] ?? '').length)));
  const table = rows.map((row) =>
    row
      .map((text, at) => text.padEnd(widths[at]!))
      .join('  ')
      .trimEnd(),
  );
  const disks = views.filter((view) => !('error' in view) && view.isDiskFull);
  return [
    ...table,
    ...disks.map(({ id }) => `the disk of ${id} is full: it takes no more log, and leads only if nobody else can`),
  ];
}

/**
 * A value for a terminal: one line end at its end, and what could take the terminal over, or is no text, as `\\xNN`.
 * `escaped` is how many bytes that are.
 */
export function formatValue(value: Uint8Array): { readonly text: string; readonly escaped: number } {
  let escaped = 0;
  const toHex = (bytes: Uint8Array): string => {
    escaped += bytes.length;
    return Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
  };
  let text: string;
  try {
    // Control characters but tab and line feed: C0, DEL and C1, of which some begin commands.
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
      .decode(value)
      .replaceAll(/[^\P{Cc}\t\n]/gu, (control) => toHex(Buffer.from(control)));
  } catch {
    text = '';
    for (let at = 0; at < value.length; at++) {
      const byte = value[at]!;
      text +=
        byte === 9 || byte === 10 || (byte >= 32 && byte < 127)
          ? String.fromCharCode(byte)
          : toHex(value.subarray(at, at + 1));
    }
  }
  return { text: text.endsWith('\n') ? text : `${text}\n`, escaped };
}

/** Such as `512 B`, `1.5 KiB` and `20.0 MiB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let power = 0;
  while (bytes >= 1024 && power < units.length - 1) {
    bytes /= 1024;
    power++;
  }
  return `${power === 0 ? bytes : bytes.toFixed(1)} ${units[power]}`;
}

/** What was saved; of one server's own state also how far that is, so that survivors can be compared. */
export function formatSaved(bytes: number, level: SaveLevel, moment: SavedMoment): string {
  const saved = `saved ${counted(moment.entries)}, ${formatBytes(bytes)}`;
  if (level !== 'local') return saved;
  const { id, appliedIndex, appliedTerm, stampMs } = moment;
  const place = `applied index ${appliedIndex}, term ${appliedTerm}, log time ${new Date(stampMs).toISOString()}`;
  return `${saved}, as ${id} alone has them: ${place}\nthe last acknowledged writes may be missing; of several survivors take the highest applied index`;
}

export function counted(entries: number): string {
  return entries === 1 ? '1 entry' : `${entries} entries`;
}
