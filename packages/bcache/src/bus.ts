/**
 * How a cache reaches its peers. The embedded one is `GossipBus` (Serf and TCP streams); `MemoryBus` joins caches of one
 * process. Another, over a message broker say, has to do what `testing/bus-suite.ts` checks.
 *
 * Messages may be lost, doubled and reordered: the replicator repairs. They may not be changed or made up.
 */
export interface Bus {
  /** Opens it; `handlers` are called from then until `stop`. */
  start(handlers: BusHandlers): Promise<void>;
  /** All living members, this node among them. */
  members(): readonly BusMember[];
  /** Sends to every other living member. Bounded: a member that does not keep up loses messages, not memory. */
  broadcast(bytes: Uint8Array): void;
  /** Sends to one member; nothing happens where it is not there. */
  send(to: string, bytes: Uint8Array): void;
  /** Gives what is queued up to `timeoutMs` to leave, then leaves the others and frees everything. */
  stop(timeoutMs: number): Promise<void>;
  stats(): BusStats;
}

export interface BusMember {
  readonly id: string;
  /** `host:port` where it listens; empty where the bus has no addresses. */
  readonly address: string;
}

export interface BusStats {
  /** Messages not sent because a peer's queue was full. */
  readonly overflows: number;
  /** Connections refused or dropped: another cluster, a wrong key, nonsense. */
  readonly refusals: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
}

export interface BusHandlers {
  /** A message of a living member; `bytes` is the receiver's to keep. A throw means nonsense: the bus drops the peer. */
  message(from: string, bytes: Uint8Array): void;
  /** The ids of the other living members, whenever they change. */
  peers(ids: readonly string[]): void;
  /** A member can be sent to from now on, or again. */
  connected(peer: string): void;
  /** There is nobody to take a state from: nobody answered the first time, or all have gone. It goes on trying. */
  alone(): void;
  member(type: 'member-join' | 'member-leave' | 'member-failed', member: BusMember): void;
  error(error: Error): void;
}
