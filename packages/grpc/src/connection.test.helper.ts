import { clientPreface, FrameType } from './core/frame.js';

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** A frame as a client writes it. */
export function frame(type: number, flags: number, stream: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** The preface and empty settings. */
export function hello(...settings: (readonly [setting: number, value: number])[]): Buffer {
  const payload = Buffer.alloc(settings.length * 6);
  for (const [i, [setting, value]] of settings.entries()) {
    payload.writeUInt16BE(setting, i * 6);
    payload.writeUInt32BE(value, i * 6 + 2);
  }
  return Buffer.concat([clientPreface, frame(FrameType.settings, 0, 0, payload)]);
}

/** A POST of `/x` with the content type of gRPC, all literals. */
export const postHeaders: Buffer = Buffer.concat([
  Buffer.from([0x83, 0x86]),
  literal(':path', '/x'),
  literal('content-type', 'application/grpc'),
]);

export function literal(name: string, value: string): Buffer {
  return Buffer.concat([
    Buffer.from([0, name.length]),
    Buffer.from(name),
    Buffer.from([value.length]),
    Buffer.from(value),
  ]);
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** The frames in what a server wrote. */
export function framesOf(parts: readonly Uint8Array[]): Frame[] {
  const all = Buffer.concat(parts);
  const frames: Frame[] = [];
  for (let at = 0; at < all.length; ) {
    const length = all.readUIntBE(at, 3);
    const payload = all.subarray(at + 9, at + 9 + length);
    frames.push({ type: all[at + 3]!, flags: all[at + 4]!, stream: all.readUInt32BE(at + 5), payload });
    at += 9 + length;
  }
  return frames;
}
