import type { HeaderList } from './core/header-decoder.js';

/** A request's metadata: its headers but those of HTTP/2 and of the transport. */
export class CallMetadata {
  readonly #headers: HeaderList;

  constructor(headers: HeaderList) {
    this.#headers = headers;
  }

  /** All values of a name, in order; those of a `…-bin` name as bytes. */
  get(name: string): (string | Buffer)[] {
    const wanted = name.toLowerCase();
    const values: (string | Buffer)[] = [];
    for (let i = 0; i < this.#headers.length; i += 2)
      if (this.#headers[i] === wanted) values.push(...valuesOf(wanted, this.#headers[i + 1]!));
    return values;
  }

  /** The first value of each name. */
  getMap(): Record<string, string | Buffer> {
    const map: Record<string, string | Buffer> = Object.create(null);
    for (let i = 0; i < this.#headers.length; i += 2) {
      const name = this.#headers[i]!;
      if (!name.startsWith(':')) map[name] ??= valuesOf(name, this.#headers[i + 1]!)[0] ?? '';
    }
    return map;
  }
}

/** Binary values may be joined by commas, with or without padding (gRPC over HTTP/2, "Custom-Metadata"). */
function valuesOf(name: string, value: string): (string | Buffer)[] {
  return name.endsWith('-bin') ? value.split(',').map((part) => Buffer.from(part.trim(), 'base64')) : [value];
}
