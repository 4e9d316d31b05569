import { maxLamportTime } from '../core/lamport.js';
import type { EventSlot, NodeRow, PushPullState, SerfState } from '../core/message.js';
import { MsgpackReader, MsgpackWriter, TruncatedError, WireError } from './msgpack.js';
import { SerfType } from './serf-message.js';
import { decodeRow, encodeRow, MessageType } from './swim-message.js';

/*
 *     06 │ map {Join, Nodes, UserStateLen} │ Nodes × map {Addr, Incarnation, Meta, Name, Port, State, Vsn} │ user state
 *     user state: 02 │ map {EventLTime, Events, LTime, LeftMembers, QueryLTime, StatusLTimes}
 */

/** Rows and bytes a peer may announce (the newest memberlist's limits). */
const maxNodes = 1 << 20;
const maxUserStateBytes = 20 * 1024 * 1024;
const maxEventSlots = 65_536;

export function encodePushPull(state: PushPullState): Uint8Array {
  const out = new MsgpackWriter();
  const user = state.serf === undefined ? new Uint8Array(0) : encodeSerfState(state.serf);
  out.u8(MessageType.pushPull).map(3).text('Join').bool(state.join);
  out.text('Nodes').int(state.nodes.length).text('UserStateLen').int(user.length);
  for (const row of state.nodes) encodeRow(out, row);
  return out.verbatim(user).copy();
}

/**
 * Reads a push/pull that arrives in pieces. Each call gets all bytes so far; what was read stays read, so the work is
 * linear in the bytes and not in their square. Returns undefined while more is to come.
 */
export class PushPullReader {
  #at = 1;
  #header: { readonly join: boolean; readonly nodes: number; readonly userBytes: number } | undefined;
  readonly #rows: NodeRow[] = [];
  #neededBytes = 0;

  /** While more is to come: with fewer bytes than this, reading again changes nothing. */
  get neededBytes(): number {
    return this.#neededBytes;
  }

  read(bytes: Uint8Array): { readonly state: PushPullState; readonly length: number } | undefined {
    const reader = new MsgpackReader(bytes, this.#at);
    try {
      this.#header ??= this.#advance(reader, readHeader(reader));
      while (this.#rows.length < this.#header.nodes) this.#rows.push(this.#advance(reader, decodeRow(reader)));
      const user = reader.verbatim(this.#header.userBytes);
      const { join } = this.#header;
      const state: PushPullState =
        user.length === 0
          ? { join, nodes: this.#rows }
          : { join, nodes: this.#rows, serf: decodeSerfState(new Uint8Array(user)) };
      return { state, length: reader.offset };
    } catch (error) {
      // Inside the user state, whose length is known, a cut value is not one that is still to come.
      if (!(error instanceof TruncatedError) || this.#hasAll(bytes)) throw error;
      this.#neededBytes = error.neededBytes;
      return undefined;
    }
  }

  #hasAll(bytes: Uint8Array): boolean {
    const header = this.#header;
    return header !== undefined && this.#rows.length === header.nodes && bytes.length - this.#at >= header.userBytes;
  }

  #advance<Value>(reader: MsgpackReader, value: Value): Value {
    this.#at = reader.offset;
    return value;
  }
}

function readHeader(reader: MsgpackReader): { join: boolean; nodes: number; userBytes: number } {
  let [join, nodes, userBytes] = [false, 0, 0];
  reader.struct((key) => {
    if (key === 'Join') join = reader.bool();
    else if (key === 'Nodes') nodes = reader.uint(maxNodes);
    else if (key === 'UserStateLen') userBytes = reader.uint(maxUserStateBytes);
    else return false;
    return true;
  });
  return { join, nodes, userBytes };
}

function encodeSerfState(state: SerfState): Uint8Array {
  const out = new MsgpackWriter();
  out.u8(SerfType.pushPull).map(6).text('EventLTime').int(state.eventLTime);
  out.text('Events').array(state.events.length);
  for (const slot of state.events) {
    if (slot === undefined) {
      out.nil();
      continue;
    }
    out.map(2).text('Events').array(slot.events.length);
    for (const { name, payload } of slot.events) out.map(2).text('Name').text(name).text('Payload').bytes(payload);
    out.text('LTime').int(slot.lTime);
  }
  out.text('LTime').int(state.lTime).text('LeftMembers').array(state.leftMembers.length);
  for (const name of state.leftMembers) out.text(name);
  out.text('QueryLTime').int(state.queryLTime).text('StatusLTimes').map(state.statusLTimes.size);
  for (const [name, lTime] of state.statusLTimes) out.text(name).int(lTime);
  return out.copy();
}

/** Views of `bytes` are kept in what is returned. */
export function decodeSerfState(bytes: Uint8Array): SerfState {
  if (bytes[0] !== SerfType.pushPull)
    throw new WireError(`the user state of a push/pull has type ${bytes[0]}, wanted ${SerfType.pushPull}`);
  const reader = new MsgpackReader(bytes, 1);
  let [lTime, eventLTime, queryLTime] = [0, 0, 0];
  const statusLTimes = new Map<string, number>();
  const leftMembers: string[] = [];
  const events: (EventSlot | undefined)[] = [];
  reader.struct((key) => {
    if (key === 'LTime') lTime = reader.uint(maxLamportTime);
    else if (key === 'EventLTime') eventLTime = reader.uint(maxLamportTime);
    else if (key === 'QueryLTime') queryLTime = reader.uint(maxLamportTime);
    else if (key === 'LeftMembers') for (let left = reader.array(); left > 0; left--) leftMembers.push(reader.text());
    else if (key === 'StatusLTimes')
      for (let left = reader.map(); left > 0; left--) statusLTimes.set(reader.text(), reader.uint(maxLamportTime));
    else if (key === 'Events') {
      const length = reader.array();
      if (length > maxEventSlots) throw new WireError(`a push/pull with ${length} event slots`);
      for (let left = length; left > 0; left--) events.push(reader.nil() ? undefined : readSlot(reader));
    } else return false;
    return true;
  });
  return { lTime, eventLTime, queryLTime, statusLTimes, leftMembers, events };
}

function readSlot(reader: MsgpackReader): EventSlot {
  let lTime = 0;
  const events: { name: string; payload: Uint8Array }[] = [];
  reader.struct((key) => {
    if (key === 'LTime') lTime = reader.uint(maxLamportTime);
    else if (key === 'Events')
      for (let left = reader.array(); left > 0; left--) {
        let [name, payload] = ['', new Uint8Array(0)];
        reader.struct((part) => {
          if (part === 'Name') name = reader.text();
          else if (part === 'Payload') payload = new Uint8Array(reader.raw());
          else return false;
          return true;
        });
        events.push({ name, payload });
      }
    else return false;
    return true;
  });
  return { lTime, events };
}
