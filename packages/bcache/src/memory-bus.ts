import type { Bus, BusHandlers, BusMember, BusStats } from './bus.js';

/** Joins caches of one process, for tests and for trying things out. */
export class MemoryHub {
  readonly #buses = new Map<string, { bus: MemoryBus; handlers: BusHandlers }>();

  bus(id: string): Bus {
    return new MemoryBus(this, id);
  }

  /** Lets members no longer hear each other, without any of them leaving. */
  readonly #cut = new Set<string>();

  cut(id: string): void {
    this.#change(() => this.#cut.add(id));
  }

  heal(id: string): void {
    this.#change(() => this.#cut.delete(id));
  }

  enter(bus: MemoryBus, handlers: BusHandlers): void {
    const isFirst = this.#buses.size === 0;
    this.#change(() => this.#buses.set(bus.id, { bus, handlers }));
    if (isFirst) handlers.alone();
  }

  leave(id: string): void {
    this.#change(() => this.#buses.delete(id));
  }

  others(id: string): string[] {
    if (!this.#buses.has(id)) return [];
    return [...this.#buses.keys()].filter((other) => other !== id && this.#cut.has(id) === this.#cut.has(other));
  }

  deliver(from: string, to: string, bytes: Uint8Array): void {
    // In a later turn, as from a socket; each receiver gets bytes of its own.
    setImmediate(() => {
      if (this.others(to).includes(from)) this.#buses.get(to)?.handlers.message(from, bytes.slice());
    });
  }

  #change(change: () => void): void {
    const before = new Map([...this.#buses.keys()].map((id) => [id, this.others(id)]));
    change();
    for (const [id, { handlers }] of this.#buses) {
      const was = before.get(id) ?? [];
      const now = this.others(id);
      handlers.peers(now);
      for (const other of now.filter((name) => !was.includes(name))) {
        handlers.member('member-join', { id: other, address: '' });
        handlers.connected(other);
      }
      for (const other of was.filter((name) => !now.includes(name)))
        handlers.member('member-failed', { id: other, address: '' });
    }
  }
}

class MemoryBus implements Bus {
  readonly id: string;
  readonly #hub: MemoryHub;

  constructor(hub: MemoryHub, id: string) {
    this.#hub = hub;
    this.id = id;
  }

  async start(handlers: BusHandlers): Promise<void> {
    this.#hub.enter(this, handlers);
  }

  members(): readonly BusMember[] {
    return [this.id, ...this.#hub.others(this.id)].map((id) => ({ id, address: '' }));
  }

  broadcast(bytes: Uint8Array): void {
    for (const other of this.#hub.others(this.id)) this.#hub.deliver(this.id, other, bytes);
  }

  send(to: string, bytes: Uint8Array): void {
    this.#hub.deliver(this.id, to, bytes);
  }

  async stop(): Promise<void> {
    this.#hub.leave(this.id);
  }

  stats(): BusStats {
    return { overflows: 0, refusals: 0, bytesSent: 0, bytesReceived: 0 };
  }
}
