import { formatAddress } from './core/address.js';
import type { SerfEvent } from './core/effects.js';
import type { Endpoint, Tags } from './core/message.js';
import { SerfCore } from './core/serf.js';
import { Driver } from './driver.js';
import { SerfError } from './errors.js';
import { interfaceAddress, isUnspecified, resolveEndpoints } from './host.js';
import { KeyManager, loadKeyring } from './keys.js';
import type { ResolvedOptions } from './options.js';
import type { QueryHandle } from './query.js';
import { Snapshot } from './snapshot.js';
import { Transport } from './transport.js';
import type { CachingCodec } from './wire/codec.js';
import { encryptionOverheadBytes } from './wire/keyring.js';
import { encodeLabel } from './wire/packet.js';

/** What a running node is made of. */
export interface Parts {
  readonly core: SerfCore;
  readonly driver: Driver;
  readonly transport: Transport;
  readonly keys: KeyManager;
  readonly snapshot: Snapshot | undefined;
  /** Where others reach this member. */
  readonly endpoint: Endpoint;
}

export interface PartsSetup {
  readonly options: ResolvedOptions;
  readonly codec: CachingCodec;
  readonly tags: Tags;
  readonly onEvent: (event: SerfEvent) => void;
  readonly query: (name: string, payload: Uint8Array) => QueryHandle;
}

/** Binds the sockets and puts the parts together; nothing is sent yet. Leaves nothing open when it fails. */
export async function assemble({ options, codec, tags, onEvent, query }: PartsSetup): Promise<Parts> {
  const { bind, clock, logger, timing, label, compress, random, name, coordinates, keyringFile } = options;
  const { streamTimeoutMs } = timing;
  const keyring = await loadKeyring(options.keyring, keyringFile);
  const snapshot = await Snapshot.open(options);
  // The driver is given the transport, and the transport calls the driver, though not before a packet comes.
  let driver: Driver | undefined;
  const transport = new Transport({
    keyring,
    label,
    compress,
    clock,
    streamTimeoutMs,
    onPacket: (from, bytes) => driver?.onPacket(from, bytes),
    onStream: (message) => driver?.onStream(message),
    onFault: (where, error) => driver?.onFault(where, error),
  });
  const overheadBytes = (keyring === undefined ? 0 : encryptionOverheadBytes) + encodeLabel(label).length;
  try {
    // One address for both protocols: a name such as localhost may have several.
    const [local] = await resolveEndpoints(bracketed(bind.host), 0);
    const port = await transport.bind(formatAddress(local!.addr), bind.port ?? 0);
    const endpoint = await announcedEndpoint(options, port);
    const core = new SerfCore({
      name,
      endpoint,
      tags,
      timing,
      codec,
      random,
      coordinates,
      packetOverheadBytes: () => overheadBytes,
      nowMs: clock.monotonicMs(),
    });
    driver = new Driver({ keyring, label, compress, core, codec, transport, clock, logger, streamTimeoutMs, onEvent });
    const memberCount = (): number => core.roster.count('alive');
    const keys = new KeyManager({ keyring, file: keyringFile, query, memberCount });
    if (snapshot !== undefined) core.restore(snapshot.clocks);
    return { core, driver, transport, keys, snapshot, endpoint };
  } catch (error) {
    await transport.close();
    await snapshot?.close();
    throw error;
  }
}

async function announcedEndpoint({ bind, advertise }: ResolvedOptions, port: number): Promise<Endpoint> {
  const from = advertise ?? bind;
  const [first] = await resolveEndpoints(`${bracketed(from.host)}:${advertise?.port ?? port}`, port);
  if (first === undefined) throw new SerfError('address', `${from.host} has no address`);
  return isUnspecified(first.addr) ? { addr: interfaceAddress(), port: first.port } : first;
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}
