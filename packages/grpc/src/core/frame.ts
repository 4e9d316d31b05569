/** Frame types of RFC 9113 §6. */
export const FrameType = {
  data: 0,
  headers: 1,
  priority: 2,
  resetStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

/** Flags; those of one value belong to different types. */
export const Flag = { endStream: 1, ack: 1, endHeaders: 4, padded: 8, priority: 32 } as const;

/** Settings of RFC 9113 §6.5.2. */
export const Setting = {
  headerTableSize: 1,
  enablePush: 2,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
} as const;

export const frameHeaderBytes = 9;

/** What both sides begin with, and the largest frame that we take (RFC 9113 §6.5.2). */
export const defaultFrameBytes = 16_384;
export const defaultWindow = 65_535;
export const maxWindow: number = 2 ** 31 - 1;
export const defaultTableBytes = 4_096;

/** What a client says first (RFC 9113 §3.4). */
export const clientPreface: Uint8Array = Uint8Array.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', (char) =>
  char.charCodeAt(0),
);
