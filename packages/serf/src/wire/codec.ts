import type { MessageCodec } from '../core/context.js';
import type { SwimMessage, Tags } from '../core/message.js';
import { MsgpackReader, MsgpackWriter, WireError } from './msgpack.js';
import { decodeSerf, encodeSerf } from './serf-message.js';
import { decodeSwim, encodeSwim, MessageType } from './swim-message.js';
import { decodeText } from './text.js';

/** First byte of a meta that holds a tag map. */
const tagMagic = 0xff;

/** Bytes of one message, its type byte first. */
export function encodeMessage(message: SwimMessage): Uint8Array {
  const out = new MsgpackWriter();
  if (message.type !== 'user') encodeSwim(out, message);
  else {
    out.u8(MessageType.user);
    if (message.raw !== undefined) out.verbatim(message.raw);
    else encodeSerf(out, message.body);
  }
  return out.copy();
}

/**
 * One message of a packet, not a compound or compressed one. What a later rebroadcast needs is copied, so the packet
 * itself may be reused. Throws a `WireError` when the bytes are not a message known here.
 */
export function decodeMessage(bytes: Uint8Array): SwimMessage {
  if (bytes[0] !== MessageType.user) return decodeSwim(bytes);
  // `slice` of a Buffer would be a view that pins the packet; this is a copy whatever the bytes are.
  const raw = new Uint8Array(bytes.subarray(1));
  return { type: 'user', body: decodeSerf(raw), raw };
}

/** Tags as the meta of an alive message: `ff` and a map of strings, in the order given. */
export function encodeTags(tags: Tags): Uint8Array {
  const out = new MsgpackWriter().u8(tagMagic).map(tags.size);
  for (const [key, value] of tags) out.text(key).text(value);
  return out.copy();
}

/** Tags of a meta. One without the magic byte is the old form, a bare role; one that cannot be read has no tags. */
export function decodeTags(meta: Uint8Array): Tags {
  const tags = new Map<string, string>();
  if (meta[0] !== tagMagic) return tags.set('role', decodeText(meta));
  try {
    const reader = new MsgpackReader(meta, 1);
    for (let left = reader.map(); left > 0; left--) tags.set(reader.text(), reader.text());
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
  }
  return tags;
}

/** Encodes each message once: gossip sends the same one many times. */
export class CachingCodec implements MessageCodec {
  readonly #encoded = new WeakMap<SwimMessage, Uint8Array>();

  bytesOf(message: SwimMessage): Uint8Array {
    let bytes = this.#encoded.get(message);
    if (bytes === undefined) {
      bytes = encodeMessage(message);
      this.#encoded.set(message, bytes);
    }
    return bytes;
  }

  sizeOf(message: SwimMessage): number {
    return this.bytesOf(message).length;
  }

  encodeTags(tags: Tags): Uint8Array {
    return encodeTags(tags);
  }

  decodeTags(meta: Uint8Array): Tags {
    return decodeTags(meta);
  }
}
