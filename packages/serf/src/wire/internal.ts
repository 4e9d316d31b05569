import { formatAddress } from '../core/address.js';
import type { Endpoint } from '../core/message.js';
import type { Member } from '../core/roster.js';
import { MsgpackReader, MsgpackWriter, WireError } from './msgpack.js';
import { SerfType } from './serf-message.js';
import { statusNumbers } from './status.js';

/** Payloads of the queries that members ask each other. */

/** What a member says to a key query. */
export interface KeyResponse {
  readonly ok: boolean;
  readonly message: string;
  /** Base64, only for a list. */
  readonly keys: readonly string[];
  readonly primary: string;
}

const maxListedKeys = 4096;

/** `07` and {Key}. */
export function encodeKeyRequest(key: Uint8Array): Uint8Array {
  return new MsgpackWriter().u8(SerfType.keyRequest).map(1).text('Key').raw(key).copy();
}

export function decodeKeyRequest(payload: Uint8Array): Uint8Array {
  if (payload[0] !== SerfType.keyRequest) throw new WireError(`a key request of type ${payload[0]}`);
  const reader = new MsgpackReader(payload, 1);
  let key: Uint8Array = new Uint8Array(0);
  reader.struct((name) => {
    if (name !== 'Key') return false;
    key = new Uint8Array(reader.raw());
    return true;
  });
  return key;
}

/** `08` and {Keys, Message, PrimaryKey, Result}. */
export function encodeKeyResponse(response: KeyResponse): Uint8Array {
  const out = new MsgpackWriter().u8(SerfType.keyResponse).map(4).text('Keys');
  if (response.keys.length === 0) out.nil();
  else out.array(response.keys.length);
  for (const key of response.keys) out.text(key);
  out.text('Message').text(response.message).text('PrimaryKey').text(response.primary);
  return out.text('Result').bool(response.ok).copy();
}

export function decodeKeyResponse(payload: Uint8Array): KeyResponse {
  if (payload[0] !== SerfType.keyResponse) throw new WireError(`a key response of type ${payload[0]}`);
  const reader = new MsgpackReader(payload, 1);
  let [ok, message, primary] = [false, '', ''];
  const keys: string[] = [];
  reader.struct((name) => {
    if (name === 'Result') ok = reader.bool();
    else if (name === 'Message') message = reader.text();
    else if (name === 'PrimaryKey') primary = reader.text();
    else if (name === 'Keys') {
      const length = reader.array();
      if (length > maxListedKeys) throw new WireError(`a list of ${length} keys`);
      for (let left = length; left > 0; left--) keys.push(reader.text());
    } else return false;
    return true;
  });
  return { ok, message, keys, primary };
}

/** `06` and the member as this one knows it, or nil. */
export function encodeConflictResponse(member: Member | undefined, endpoint: Endpoint | undefined): Uint8Array {
  const out = new MsgpackWriter().u8(SerfType.conflictResponse);
  if (member === undefined || endpoint === undefined) return out.nil().copy();
  out.map(11).text('Addr').bytes(endpoint.addr);
  out.text('DelegateCur').int(member.delegateCur).text('DelegateMax').int(member.delegateMax);
  out.text('DelegateMin').int(member.delegateMin).text('Name').text(member.name).text('Port').int(endpoint.port);
  out.text('ProtocolCur').int(member.protocolCur).text('ProtocolMax').int(member.protocolMax);
  out.text('ProtocolMin').int(member.protocolMin).text('Status').int(statusNumbers[member.status]);
  out.text('Tags').map(member.tags.size);
  for (const [key, value] of member.tags) out.text(key).text(value);
  return out.copy();
}

/** Where the answering member believes the name lives; undefined when it knows no such member. */
export function decodeConflictResponse(payload: Uint8Array): Endpoint | undefined {
  if (payload[0] !== SerfType.conflictResponse) throw new WireError(`a conflict response of type ${payload[0]}`);
  const reader = new MsgpackReader(payload, 1);
  if (reader.nil()) return undefined;
  let addr: Uint8Array = new Uint8Array(0);
  let port = 0;
  reader.struct((name) => {
    if (name === 'Addr') addr = new Uint8Array(reader.raw());
    else if (name === 'Port') port = reader.uint(0xffff);
    else return false;
    return true;
  });
  return formatAddress(addr) === '' ? undefined : { addr, port };
}
