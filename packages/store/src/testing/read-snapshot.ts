import { fromUtf8 } from '@dcache/base';
import { EntryBit, FrameKind, FrameReader, POLICIES, readPayload } from '../snapshot-format.js';

/** An entry as a snapshot's bytes say. */
interface SnapshotEntry {
  readonly key: string;
  readonly value: Uint8Array;
  readonly revision: number;
  readonly expiresAtMs: number;
  readonly flags: number;
  readonly touches: number;
  readonly isSmall: boolean;
  readonly isHand: boolean;
}

export interface SnapshotContent {
  readonly eviction: string;
  readonly maxBytes: number;
  readonly nowMs: number;
  readonly entries: SnapshotEntry[];
  readonly ghosts: number;
  readonly stateHash: string;
}

/** Reads a snapshot by its format alone, so that tests see order and bits without a way into the store. */
export function readSnapshot(chunks: Iterable<Uint8Array>): SnapshotContent {
  const frames = new FrameReader();
  const content = { eviction: '', maxBytes: 0, nowMs: 0, entries: [] as SnapshotEntry[], ghosts: 0, stateHash: '' };
  let received = 0;
  for (const chunk of chunks)
    frames.write(chunk, (kind, payload) => {
      if (kind === FrameKind.part) {
        content.entries.at(-1)!.value.set(payload, received);
        received += payload.length;
      } else
        readPayload(payload, true, (reader) => {
          if (kind === FrameKind.header) {
            reader.raw(5);
            content.eviction = POLICIES[reader.u8()]!;
            content.maxBytes = reader.varint();
            reader.varint();
            reader.varint();
            content.nowMs = reader.varint();
            reader.varint();
            reader.varint();
          } else if (kind === FrameKind.ghosts) {
            reader.raw(8);
            content.ghosts++;
          } else if (kind === FrameKind.end) content.stateHash = fromUtf8(reader.bytes());
          else {
            const bits = reader.u8();
            const revision = reader.varint();
            const expiresAtMs = (bits & EntryBit.expires) === 0 ? 0 : reader.varint();
            const flags = (bits & EntryBit.flags) === 0 ? 0 : reader.varint();
            const key = Buffer.from(reader.bytes()).toString('latin1');
            const valueBytes = reader.varint();
            const inParts = (bits & EntryBit.parts) !== 0;
            received = 0;
            content.entries.push({
              key,
              value: inParts ? new Uint8Array(valueBytes) : reader.raw(valueBytes).slice(),
              revision,
              expiresAtMs,
              flags,
              touches: bits & EntryBit.touches,
              isSmall: (bits & EntryBit.small) !== 0,
              isHand: (bits & EntryBit.hand) !== 0,
            });
          }
        });
    });
  return content;
}
