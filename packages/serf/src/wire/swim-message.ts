import { unreachable } from '@dcache/base';
import type { Claim, Endpoint, NodeRow, NodeState, SwimMessage } from '../core/message.js';
import { decodeCoordinate, encodeCoordinate } from './coordinate.js';
import { MsgpackReader, type MsgpackWriter, WireError } from './msgpack.js';

// Append only: these numbers are the protocol.
export const MessageType = {
  ping: 0,
  indirectPing: 1,
  ack: 2,
  suspect: 3,
  alive: 4,
  dead: 5,
  pushPull: 6,
  compound: 7,
  user: 8,
  compress: 9,
  encrypt: 10,
  nack: 11,
  crc: 12,
  error: 13,
  label: 244,
} as const;

const u16 = 0xffff;
const u32 = 0xffff_ffff;
const noBytes: Uint8Array = new Uint8Array(0);
/** Longest name that is taken; an agent's host name is below 256 bytes. */
export const maxNameBytes = 1024;

type Simple = Exclude<SwimMessage, { type: 'user' }>;

/** Type byte and map; keys in the order Go writes them, sorted. */
export function encodeSwim(out: MsgpackWriter, message: Simple): void {
  switch (message.type) {
    case 'ping': {
      const { source, sourceNode } = message;
      out.u8(MessageType.ping).map(2 + sourceFields(source, sourceNode));
      out.text('Node').text(message.node).text('SeqNo').int(message.seqNo);
      encodeSource(out, source, sourceNode);
      break;
    }
    case 'indirect-ping': {
      const { source, sourceNode, target } = message;
      out.u8(MessageType.indirectPing).map(5 + sourceFields(source, sourceNode));
      out.text('Nack').bool(message.nack).text('Node').text(message.node);
      out.text('Port').int(target.port).text('SeqNo').int(message.seqNo);
      encodeSource(out, source, sourceNode);
      out.text('Target').bytes(target.addr);
      break;
    }
    case 'ack':
      out.u8(MessageType.ack).map(2).text('Payload');
      if (message.coordinate === undefined) out.nil();
      else out.raw(encodeCoordinate(message.coordinate));
      out.text('SeqNo').int(message.seqNo);
      break;
    case 'nack':
      out.u8(MessageType.nack).map(1).text('SeqNo').int(message.seqNo);
      break;
    case 'suspect':
    case 'dead':
      out.u8(message.type === 'suspect' ? MessageType.suspect : MessageType.dead).map(3);
      out.text('From').text(message.from);
      out.text('Incarnation').int(message.incarnation).text('Node').text(message.node);
      break;
    case 'alive':
      out.u8(MessageType.alive).map(6);
      out.text('Addr').bytes(message.addr).text('Incarnation').int(message.incarnation);
      out.text('Meta').bytes(message.meta).text('Node').text(message.node);
      out.text('Port').int(message.port).text('Vsn').bytes(message.vsn);
      break;
    default:
      unreachable(message);
  }
}

export function decodeSwim(bytes: Uint8Array): Simple {
  const reader = new MsgpackReader(bytes, 1);
  const type = bytes[0];
  switch (type) {
    case MessageType.ping:
      return decodePing(reader);
    case MessageType.indirectPing:
      return decodeIndirectPing(reader);
    case MessageType.ack:
      return decodeAck(reader);
    case MessageType.nack: {
      let seqNo = 0;
      reader.struct((key) => {
        if (key !== 'SeqNo') return false;
        seqNo = reader.uint(u32);
        return true;
      });
      return { type: 'nack', seqNo };
    }
    case MessageType.suspect:
    case MessageType.dead:
      return decodeAccusation(reader, type === MessageType.suspect ? 'suspect' : 'dead');
    case MessageType.alive: {
      const { state: _state, name: node, ...row } = decodeRow(reader);
      return { type: 'alive', node, ...row };
    }
    default:
      throw new WireError(type === undefined ? 'a message without a type' : `message type ${type} is not known here`);
  }
}

/** One row of a push/pull, or an alive message: the same fields under two names. */
export function decodeRow(reader: MsgpackReader): NodeRow {
  let name = '';
  let [addr, meta, vsn] = [noBytes, noBytes, noBytes];
  let [port, incarnation, state] = [0, 0, 0];
  reader.struct((key) => {
    if (key === 'Node' || key === 'Name') name = reader.text();
    else if (key === 'Addr') addr = new Uint8Array(reader.raw());
    else if (key === 'Meta') meta = new Uint8Array(reader.raw());
    else if (key === 'Vsn') vsn = new Uint8Array(reader.raw());
    else if (key === 'Port') port = reader.uint(u16);
    else if (key === 'Incarnation') incarnation = reader.uint(u32);
    else if (key === 'State') state = reader.uint(3);
    else return false;
    return true;
  });
  checkName(name);
  if (addr.length !== 4 && addr.length !== 16)
    throw new WireError(`the address of member ${name} has ${addr.length} bytes, allowed are 4 and 16`);
  return { name, addr, port, incarnation, meta, state: state as NodeState, vsn };
}

export function encodeRow(out: MsgpackWriter, row: NodeRow): void {
  out.map(7).text('Addr').bytes(row.addr).text('Incarnation').int(row.incarnation);
  out.text('Meta').bytes(row.meta).text('Name').text(row.name);
  out.text('Port').int(row.port).text('State').int(row.state).text('Vsn').bytes(row.vsn);
}

function decodePing(reader: MsgpackReader): Simple {
  let [node, seqNo] = ['', 0];
  const source = new SourceReader(reader);
  reader.struct((key) => {
    if (key === 'Node') node = reader.text();
    else if (key === 'SeqNo') seqNo = reader.uint(u32);
    else return source.field(key);
    return true;
  });
  return { type: 'ping', seqNo, node, ...source.fields() };
}

function decodeIndirectPing(reader: MsgpackReader): Simple {
  let [node, seqNo, nack, port, addr] = ['', 0, false, 0, noBytes];
  const source = new SourceReader(reader);
  reader.struct((key) => {
    if (key === 'Node') node = reader.text();
    else if (key === 'SeqNo') seqNo = reader.uint(u32);
    else if (key === 'Nack') nack = reader.bool();
    else if (key === 'Port') port = reader.uint(u16);
    else if (key === 'Target') addr = new Uint8Array(reader.raw());
    else return source.field(key);
    return true;
  });
  if (addr.length !== 4 && addr.length !== 16)
    throw new WireError(`the target of an indirect ping has ${addr.length} bytes, allowed are 4 and 16`);
  return { type: 'indirect-ping', seqNo, node, nack, target: { addr, port }, ...source.fields() };
}

function decodeAck(reader: MsgpackReader): Simple {
  let seqNo = 0;
  let payload = noBytes;
  reader.struct((key) => {
    if (key === 'SeqNo') seqNo = reader.uint(u32);
    else if (key === 'Payload') payload = reader.raw();
    else return false;
    return true;
  });
  const coordinate = decodeCoordinate(payload);
  return coordinate === undefined ? { type: 'ack', seqNo } : { type: 'ack', seqNo, coordinate };
}

function decodeAccusation(reader: MsgpackReader, type: 'suspect' | 'dead'): Claim {
  let [node, from, incarnation] = ['', '', 0];
  reader.struct((key) => {
    if (key === 'Node') node = reader.text();
    else if (key === 'From') from = reader.text();
    else if (key === 'Incarnation') incarnation = reader.uint(u32);
    else return false;
    return true;
  });
  checkName(node);
  return { type, incarnation, node, from };
}

function checkName(name: string): void {
  if (name === '' || name.length > maxNameBytes)
    throw new WireError(`a member's name has ${name.length} characters, allowed are 1 to ${maxNameBytes}`);
}

/** `SourceAddr`, `SourceNode`, `SourcePort`: left out when empty, counted only when address and port are there. */
class SourceReader {
  readonly #reader: MsgpackReader;
  #addr = noBytes;
  #port = 0;
  #node = '';

  constructor(reader: MsgpackReader) {
    this.#reader = reader;
  }

  field(key: string): boolean {
    if (key === 'SourceAddr') this.#addr = new Uint8Array(this.#reader.raw());
    else if (key === 'SourcePort') this.#port = this.#reader.uint(u16);
    else if (key === 'SourceNode') this.#node = this.#reader.text();
    else return false;
    return true;
  }

  fields(): { source?: Endpoint; sourceNode?: string } {
    const hasSource = (this.#addr.length === 4 || this.#addr.length === 16) && this.#port > 0;
    return {
      ...(hasSource ? { source: { addr: this.#addr, port: this.#port } } : {}),
      ...(this.#node !== '' ? { sourceNode: this.#node } : {}),
    };
  }
}

function sourceFields(source: Endpoint | undefined, sourceNode: string | undefined): number {
  return (source === undefined ? 0 : 2) + (sourceNode === undefined ? 0 : 1);
}

function encodeSource(out: MsgpackWriter, source: Endpoint | undefined, sourceNode: string | undefined): void {
  if (source !== undefined) out.text('SourceAddr').bytes(source.addr);
  if (sourceNode !== undefined) out.text('SourceNode').text(sourceNode);
  if (source !== undefined) out.text('SourcePort').int(source.port);
}
