import type { Coordinate } from '../core/message.js';
import { MsgpackReader, MsgpackWriter, WireError } from './msgpack.js';

/** Version byte of an ack's payload. */
const payloadVersion = 1;
/** Longest vector that is read; valid ones have eight components. */
const maxDimensions = 64;

/** `01` and the coordinate: the payload of an ack. */
export function encodeCoordinate(coordinate: Coordinate): Uint8Array {
  const out = new MsgpackWriter().u8(payloadVersion);
  writeCoordinate(out, coordinate);
  return out.copy();
}

/** Undefined for an empty payload, another version, or bytes that are none: an ack counts without it too. */
export function decodeCoordinate(payload: Uint8Array): Coordinate | undefined {
  if (payload[0] !== payloadVersion) return undefined;
  try {
    return readCoordinate(new MsgpackReader(payload, 1));
  } catch (error) {
    if (error instanceof WireError) return undefined;
    throw error;
  }
}

export function writeCoordinate(out: MsgpackWriter, coordinate: Coordinate): void {
  out.map(4).text('Adjustment').float(coordinate.adjustment).text('Error').float(coordinate.error);
  out.text('Height').float(coordinate.height).text('Vec').array(coordinate.vec.length);
  for (const component of coordinate.vec) out.float(component);
}

function readCoordinate(reader: MsgpackReader): Coordinate {
  let [adjustment, error, height] = [0, 0, 0];
  let vec: number[] = [];
  reader.struct((key) => {
    if (key === 'Adjustment') adjustment = reader.float();
    else if (key === 'Error') error = reader.float();
    else if (key === 'Height') height = reader.float();
    else if (key === 'Vec') {
      const length = reader.array();
      if (length > maxDimensions) throw new WireError(`a coordinate of ${length} components`);
      vec = Array.from({ length }, () => reader.float());
    } else return false;
    return true;
  });
  return { vec, error, adjustment, height };
}
