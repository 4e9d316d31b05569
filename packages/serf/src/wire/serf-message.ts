import { unreachable } from '@dcache/base';
import { maxLamportTime } from '../core/lamport.js';
import type { Endpoint, QueryFilter, QueryMessage, QueryResponse, Relay, SerfMessage } from '../core/message.js';
import { MsgpackReader, MsgpackWriter, WireError } from './msgpack.js';
import { maxNameBytes } from './swim-message.js';

// Append only: these numbers are the protocol.
export const SerfType = {
  leave: 0,
  join: 1,
  pushPull: 2,
  userEvent: 3,
  query: 4,
  queryResponse: 5,
  conflictResponse: 6,
  keyRequest: 7,
  keyResponse: 8,
  relay: 9,
} as const;

const u8 = 0xff;
const u16 = 0xffff;
const u32 = 0xffff_ffff;
const nsPerMs = 1_000_000;
const noBytes: Uint8Array = new Uint8Array(0);
/** Filters of a query, and names in one filter, that are read. */
const maxFilters = 256;
const maxFilterNames = 4096;
/** No query waits longer; a longer wait would only hold memory. */
const maxQueryTimeoutMs = 24 * 3_600_000;

/** Type byte and map, without the lower layer's own type byte. */
export function encodeSerf(out: MsgpackWriter, message: SerfMessage): void {
  switch (message.type) {
    case 'leave':
      out.u8(SerfType.leave).map(3).text('LTime').int(message.lTime);
      out.text('Node').text(message.node).text('Prune').bool(message.prune);
      break;
    case 'join':
      out.u8(SerfType.join).map(2).text('LTime').int(message.lTime).text('Node').text(message.node);
      break;
    case 'user-event':
      out.u8(SerfType.userEvent).map(4).text('CC').bool(message.coalesce).text('LTime').int(message.lTime);
      out.text('Name').text(message.name).text('Payload').bytes(message.payload);
      break;
    case 'query':
      encodeQuery(out, message);
      break;
    case 'query-response':
      encodeResponse(out, message);
      break;
    case 'relay':
      encodeRelay(out, message);
      break;
    default:
      unreachable(message);
  }
}

/** Views of `bytes` may be kept in what is returned: hand over a copy of a packet. */
export function decodeSerf(bytes: Uint8Array): SerfMessage {
  const reader = new MsgpackReader(bytes, 1);
  const type = bytes[0];
  switch (type) {
    case SerfType.leave:
    case SerfType.join: {
      let [lTime, node, prune] = [0, '', false];
      reader.struct((key) => {
        if (key === 'LTime') lTime = reader.uint(maxLamportTime);
        else if (key === 'Node') node = reader.text();
        else if (key === 'Prune') prune = reader.bool();
        else return false;
        return true;
      });
      if (node === '' || node.length > maxNameBytes)
        throw new WireError(`an intent about a name of ${node.length} characters`);
      return type === SerfType.join ? { type: 'join', lTime, node } : { type: 'leave', lTime, node, prune };
    }
    case SerfType.userEvent: {
      let [lTime, name, payload, coalesce] = [0, '', noBytes, false];
      reader.struct((key) => {
        if (key === 'LTime') lTime = reader.uint(maxLamportTime);
        else if (key === 'Name') name = reader.text();
        else if (key === 'Payload') payload = reader.raw();
        else if (key === 'CC') coalesce = reader.bool();
        else return false;
        return true;
      });
      return { type: 'user-event', lTime, name, payload, coalesce };
    }
    case SerfType.query:
      return decodeQuery(reader);
    case SerfType.queryResponse:
      return decodeResponse(reader);
    case SerfType.relay:
      return decodeRelay(reader, bytes);
    default:
      throw new WireError(type === undefined ? 'an empty Serf message' : `Serf message type ${type} is not known here`);
  }
}

function encodeQuery(out: MsgpackWriter, query: QueryMessage): void {
  out.u8(SerfType.query).map(11).text('Addr').bytes(query.origin.addr).text('Filters');
  if (query.filters.length === 0) out.nil();
  else out.array(query.filters.length);
  for (const filter of query.filters) out.raw(encodeFilter(filter));
  out.text('Flags').int(query.flags).text('ID').int(query.id).text('LTime').int(query.lTime);
  out.text('Name').text(query.name).text('Payload').bytes(query.payload).text('Port').int(query.origin.port);
  out.text('RelayFactor').int(query.relayFactor).text('SourceNode').text(query.sourceNode);
  out.text('Timeout').int(Math.round(query.timeoutMs * nsPerMs));
}

function decodeQuery(reader: MsgpackReader): QueryMessage {
  let [addr, port, sourceNode, name, payload] = [noBytes, 0, '', '', noBytes];
  let [flags, id, lTime, relayFactor, timeoutMs] = [0, 0, 0, 0, 0];
  let filters: QueryFilter[] = [];
  reader.struct((key) => {
    if (key === 'Addr') addr = reader.raw();
    else if (key === 'Filters') filters = decodeFilters(reader);
    else if (key === 'Flags') flags = reader.uint(u32);
    else if (key === 'ID') id = reader.uint(u32);
    else if (key === 'LTime') lTime = reader.uint(maxLamportTime);
    else if (key === 'Name') name = reader.text();
    else if (key === 'Payload') payload = reader.raw();
    else if (key === 'Port') port = reader.uint(u16);
    else if (key === 'RelayFactor') relayFactor = reader.uint(u8);
    else if (key === 'SourceNode') sourceNode = reader.text();
    else if (key === 'Timeout') timeoutMs = Math.min(maxQueryTimeoutMs, Math.max(0, reader.int() / nsPerMs));
    else return false;
    return true;
  });
  const origin = checkEndpoint({ addr, port }, 'the origin of a query');
  return {
    type: 'query',
    lTime,
    id,
    origin,
    sourceNode,
    filters,
    flags,
    relayFactor,
    timeoutMs,
    name,
    payload,
  };
}

function encodeFilter(filter: QueryFilter): Uint8Array {
  const out = new MsgpackWriter();
  if (filter.kind === 'nodes') {
    out.u8(0).array(filter.names.length);
    for (const name of filter.names) out.text(name);
  } else if (filter.kind === 'tag') {
    out.u8(1).map(2).text('Expr').text(filter.expression).text('Tag').text(filter.tag);
  } else throw new WireError('a filter of unknown kind is only passed on as it came');
  return out.copy();
}

function decodeFilters(reader: MsgpackReader): QueryFilter[] {
  const length = reader.array();
  if (length > maxFilters) throw new WireError(`a query with ${length} filters, allowed are ${maxFilters}`);
  return Array.from({ length }, () => decodeFilter(reader.raw()));
}

function decodeFilter(bytes: Uint8Array): QueryFilter {
  const reader = new MsgpackReader(bytes, 1);
  if (bytes[0] === 0) {
    const length = reader.array();
    if (length > maxFilterNames) throw new WireError(`a filter of ${length} names, allowed are ${maxFilterNames}`);
    return { kind: 'nodes', names: Array.from({ length }, () => reader.text()) };
  }
  if (bytes[0] !== 1) return { kind: 'unknown' };
  let [tag, expression] = ['', ''];
  reader.struct((key) => {
    if (key === 'Tag') tag = reader.text();
    else if (key === 'Expr') expression = reader.text();
    else return false;
    return true;
  });
  return { kind: 'tag', tag, expression };
}

function encodeResponse(out: MsgpackWriter, response: QueryResponse): void {
  out.u8(SerfType.queryResponse).map(5).text('Flags').int(response.flags).text('From').text(response.from);
  out.text('ID').int(response.id).text('LTime').int(response.lTime).text('Payload').bytes(response.payload);
}

function decodeResponse(reader: MsgpackReader): QueryResponse {
  let [flags, from, id, lTime, payload] = [0, '', 0, 0, noBytes];
  reader.struct((key) => {
    if (key === 'Flags') flags = reader.uint(u32);
    else if (key === 'From') from = reader.text();
    else if (key === 'ID') id = reader.uint(u32);
    else if (key === 'LTime') lTime = reader.uint(maxLamportTime);
    else if (key === 'Payload') payload = reader.raw();
    else return false;
    return true;
  });
  return { type: 'query-response', lTime, id, from, flags, payload };
}

/** The header's map, then the response with its own type byte directly behind it. */
function encodeRelay(out: MsgpackWriter, relay: Relay): void {
  out.u8(SerfType.relay).map(2).text('DestAddr').map(3);
  out.text('IP').bytes(relay.destination.addr).text('Port').int(relay.destination.port).text('Zone').text('');
  out.text('DestName').text(relay.destinationName);
  if (relay.inner !== undefined) out.verbatim(relay.inner);
  else encodeResponse(out, relay.response);
}

function decodeRelay(reader: MsgpackReader, bytes: Uint8Array): Relay {
  let [addr, port, destinationName] = [noBytes, 0, ''];
  reader.struct((key) => {
    if (key === 'DestAddr')
      reader.struct((part) => {
        if (part === 'IP') addr = reader.raw();
        else if (part === 'Port') port = reader.uint(u16);
        else return false;
        return true;
      });
    else if (key === 'DestName') destinationName = reader.text();
    else return false;
    return true;
  });
  const destination = checkEndpoint({ addr, port }, 'the destination of a relay');
  const inner = bytes.subarray(reader.offset);
  if (inner[0] !== SerfType.queryResponse)
    throw new WireError(`a relay of message type ${inner[0]}, allowed is a query response`);
  return {
    type: 'relay',
    destination,
    destinationName,
    response: decodeResponse(new MsgpackReader(inner, 1)),
    inner,
  };
}

function checkEndpoint(endpoint: Endpoint, what: string): Endpoint {
  if (endpoint.addr.length !== 4 && endpoint.addr.length !== 16)
    throw new WireError(`${what} has an address of ${endpoint.addr.length} bytes, allowed are 4 and 16`);
  return endpoint;
}
