/**
 * Just enough of EDN, Clojure's notation for data, to read recorded histories: nil, booleans, numbers, strings,
 * keywords, vectors and maps with keyword keys. https://github.com/edn-format/edn
 */
export type Edn =
  | { readonly kind: 'nil' }
  | { readonly kind: 'atom'; readonly text: string }
  | { readonly kind: 'keyword'; readonly name: string }
  | { readonly kind: 'string'; readonly text: string }
  | { readonly kind: 'vector'; readonly items: readonly Edn[] }
  | { readonly kind: 'map'; readonly entries: ReadonlyMap<string, Edn> };

export class EdnError extends Error {
  override readonly name = 'EdnError';
}

/** All values of one line, in order. */
export function readEdn(line: string): Edn[] {
  const reader = new Reader(line);
  const values: Edn[] = [];
  while (!reader.atEnd()) values.push(reader.value(0));
  return values;
}

/** One text for each value; equal values have equal texts. */
export function printEdn(value: Edn): string {
  switch (value.kind) {
    case 'nil':
      return 'nil';
    case 'atom':
      return value.text;
    case 'keyword':
      return `:${value.name}`;
    case 'string':
      return JSON.stringify(value.text);
    case 'vector':
      return `[${value.items.map(printEdn).join(' ')}]`;
    case 'map':
      return `{${[...value.entries].map(([name, item]) => `:${name} ${printEdn(item)}`).join(', ')}}`;
  }
}

const maxDepth = 32;
const escapes: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', '"': '"', '\\': '\\' };

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** Skips what separates values: in EDN a comma is white space and `;` begins a comment. */
  atEnd(): boolean {
    while (/[\s,]/.test(this.#text[this.#at] ?? '')) this.#at++;
    return this.#at >= this.#text.length || this.#text[this.#at] === ';';
  }

  value(depth: number): Edn {
    if (depth > maxDepth) throw new EdnError(`nested deeper than ${maxDepth}`);
    if (this.atEnd()) throw new EdnError('the line ends where a value is wanted');
    switch (this.#text[this.#at]) {
      case '"':
        return { kind: 'string', text: this.#string() };
      case '[':
        return { kind: 'vector', items: this.#until(']', depth) };
      case '{':
        return { kind: 'map', entries: this.#entries(this.#until('}', depth)) };
      default:
        return this.#word();
    }
  }

  #until(close: string, depth: number): Edn[] {
    this.#at++;
    const items: Edn[] = [];
    for (;;) {
      if (this.atEnd()) throw new EdnError(`the line ends before ${close}`);
      if (this.#text[this.#at] === close) break;
      items.push(this.value(depth + 1));
    }
    this.#at++;
    return items;
  }

  #entries(items: readonly Edn[]): Map<string, Edn> {
    const entries = new Map<string, Edn>();
    for (let i = 0; i < items.length; i += 2) {
      const name = items[i]!;
      const item = items[i + 1];
      if (name.kind !== 'keyword' || item === undefined)
        throw new EdnError('a map takes pairs of a keyword and a value');
      entries.set(name.name, item);
    }
    return entries;
  }

  #string(): string {
    let text = '';
    for (this.#at++; ; this.#at++) {
      const char = this.#text[this.#at];
      if (char === undefined) throw new EdnError('the line ends inside a string');
      if (char === '"') break;
      if (char === '\\') {
        const escaped = escapes[this.#text[++this.#at] ?? ''];
        if (escaped === undefined) throw new EdnError(`unknown escape \\${this.#text[this.#at] ?? ''} in a string`);
        text += escaped;
      } else text += char;
    }
    this.#at++;
    return text;
  }

  #word(): Edn {
    const word = /[^\s,;"[\]{}()]*/y;
    word.lastIndex = this.#at;
    const text = word.exec(this.#text)?.[0] ?? '';
    if (text === '') throw new EdnError(`unexpected ${JSON.stringify(this.#text[this.#at])}`);
    this.#at += text.length;
    if (text === 'nil') return { kind: 'nil' };
    if (text.startsWith(':') && text.length > 1) return { kind: 'keyword', name: text.slice(1) };
    if (/^[-+]?\d+(\.\d+)?[NM]?$/.test(text) || text === 'true' || text === 'false') return { kind: 'atom', text };
    throw new EdnError(`${JSON.stringify(text)} is not a value`);
  }
}
