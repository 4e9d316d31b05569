import type { Send } from '../core/effects.js';
import type { PushPullState, SwimMessage } from '../core/message.js';
import type { CachingCodec } from '../wire/codec.js';
import { decodePacket, encodePacket } from '../wire/packet.js';
import { encodePushPull } from '../wire/push-pull.js';
import { encodeStream, StreamReader } from '../wire/stream.js';

const options = { keyring: undefined, label: new Uint8Array(0), compress: true };

/** Turns what members send into the bytes of the wire and back, as two real ones would. */
export class SimulatedWire {
  readonly #codec: CachingCodec;
  largestPacketBytes = 0;

  constructor(codec: CachingCodec) {
    this.#codec = codec;
  }

  packet({ messages, checksum }: Send): readonly SwimMessage[] {
    const parts = messages.map((message) => this.#codec.bytesOf(message));
    const plain = encodePacket(parts, { ...options, compress: false, checksum });
    this.largestPacketBytes = Math.max(this.largestPacketBytes, plain.length);
    const decoded = decodePacket(encodePacket(parts, { ...options, checksum }), options);
    if (decoded.faults.length > 0) throw new Error('a packet of ours cannot be read', { cause: decoded.faults[0] });
    return decoded.messages;
  }

  state(state: PushPullState): PushPullState {
    const read = new StreamReader(options, 1 << 24).push(encodeStream(encodePushPull(state), options));
    if (read?.type !== 'push-pull') throw new Error(`a push/pull of ours is read as ${read?.type}`);
    return read.state;
  }
}
