import { parseAddress } from '../core/address.js';
import type { UserEvent } from '../core/effects.js';
import type { Coordinate } from '../core/message.js';
import type { Member } from '../core/roster.js';
import type { KeyReport } from '../keys.js';
import type { IncomingQuery } from '../query.js';
import { writeCoordinate } from '../wire/coordinate.js';
import { MsgpackWriter } from '../wire/msgpack.js';

/** Answers of the agent's RPC: a header {Error, Seq}, then a body where the command has one. */

export function header(seq: number, error = ''): MsgpackWriter {
  return new MsgpackWriter().map(2).text('Error').text(error).text('Seq').int(seq);
}

export function writeMembers(out: MsgpackWriter, members: readonly Member[]): MsgpackWriter {
  out.array(members.length);
  for (const member of members) {
    out.map(11).text('Addr').bytes(wideAddress(member.address));
    out.text('DelegateCur').int(member.delegateCur).text('DelegateMax').int(member.delegateMax);
    out.text('DelegateMin').int(member.delegateMin).text('Name').text(member.name).text('Port').int(member.port);
    out.text('ProtocolCur').int(member.protocolCur).text('ProtocolMax').int(member.protocolMax);
    out.text('ProtocolMin').int(member.protocolMin).text('Status').text(member.status);
    writeTextMap(out.text('Tags'), member.tags);
  }
  return out;
}

function writeTextMap(out: MsgpackWriter, map: ReadonlyMap<string, string>): MsgpackWriter {
  out.map(map.size);
  for (const [key, value] of map) out.text(key).text(value);
  return out;
}

export function writeUserEvent(out: MsgpackWriter, event: UserEvent): MsgpackWriter {
  out.map(5).text('Coalesce').bool(event.coalesce).text('Event').text('user').text('LTime').int(event.lTime);
  return out.text('Name').text(event.name).text('Payload').bytes(event.payload);
}

export function writeQuery(out: MsgpackWriter, id: number, query: IncomingQuery): MsgpackWriter {
  out.map(5).text('Event').text('query').text('ID').int(id).text('LTime').int(query.lTime);
  return out.text('Name').text(query.name).text('Payload').bytes(query.payload);
}

export function writeKeyReport(out: MsgpackWriter, report: KeyReport): MsgpackWriter {
  writeCounts(out.map(6).text('Keys'), report.keys);
  writeTextMap(out.text('Messages'), report.messages);
  out.text('NumErr').int(report.errors).text('NumNodes').int(report.nodes).text('NumResp').int(report.answers);
  return writeCounts(out.text('PrimaryKeys'), report.primaryKeys);
}

export function writeCoordinateReply(out: MsgpackWriter, coordinate: Coordinate | undefined): MsgpackWriter {
  out.map(2).text('Coord');
  if (coordinate === undefined) out.nil();
  else writeCoordinate(out, coordinate);
  return out.text('Ok').bool(coordinate !== undefined);
}

/** A map of maps of texts. */
export function writeSections(
  out: MsgpackWriter,
  sections: Readonly<Record<string, ReadonlyMap<string, string>>>,
): MsgpackWriter {
  const entries = Object.entries(sections);
  out.map(entries.length);
  for (const [name, values] of entries) writeTextMap(out.text(name), values);
  return out;
}

function writeCounts(out: MsgpackWriter, counts: ReadonlyMap<string, number>): MsgpackWriter {
  out.map(counts.size);
  for (const [key, count] of counts) out.text(key).int(count);
  return out;
}

/** The command line shows either form alike; Go itself holds IPv4 in four or sixteen bytes. */
function wideAddress(address: string): Uint8Array {
  return parseAddress(address) ?? new Uint8Array(0);
}
