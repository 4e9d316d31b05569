/** The first thing in a text that keeps it from being JSON, and where. */
export interface JsonFault {
  /** In UTF-16 units from the beginning. */
  readonly offset: number;
  readonly what: string;
}

/**
 * Why a text is no JSON (RFC 8259), with the place, which `JSON.parse` tells only sometimes; or which key an object has
 * twice, of which `JSON.parse` would silently take the last. Undefined where nothing is wrong.
 */
export function findJsonFault(text: string): JsonFault | undefined {
  try {
    const scanner = new Scanner(text);
    scanner.value(0);
    scanner.end();
    return undefined;
  } catch (thrown) {
    if (!(thrown instanceof Fault)) throw thrown;
    return { offset: thrown.offset, what: thrown.message };
  }
}

class Fault extends Error {
  readonly offset: number;

  constructor(offset: number, what: string) {
    super(what);
    this.offset = offset;
  }
}

/** `JSON.parse` takes more, but no configuration needs it. */
const maxDepth = 100;

/** Reads one value after the other and keeps none. */
class Scanner {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  value(depth: number): void {
    this.#skipSpace();
    const first = this.#text[this.#at];
    if (depth > maxDepth) throw new Fault(this.#at, `values are nested more than ${maxDepth} deep`);
    if (first === '{') this.#object(depth);
    else if (first === '[') this.#array(depth);
    else if (first === '"') this.#string();
    else if (!this.#take(/true|false|null/y) && !this.#number()) throw this.#unexpected('a value');
    const word = this.#match(/[\w.$+-]+/y);
    if (word !== undefined) throw new Fault(this.#at, `${JSON.stringify(word)} stands right behind a value`);
  }

  end(): void {
    this.#skipSpace();
    if (this.#at < this.#text.length) throw this.#unexpected('its end');
  }

  #object(depth: number): void {
    const keys = new Set<string>();
    this.#list('}', () => {
      const start = this.#at;
      if (this.#text[start] !== '"') throw this.#unexpected('a key in double quotes');
      const key = JSON.parse(this.#string()) as string;
      if (keys.has(key)) throw new Fault(start, `the key ${JSON.stringify(key)} is there twice`);
      keys.add(key);
      this.#skipSpace();
      if (!this.#take(/:/y)) throw this.#unexpected('a colon after the key');
      this.value(depth + 1);
    });
  }

  #array(depth: number): void {
    this.#list(']', () => this.value(depth + 1));
  }

  /** From behind the opening bracket to behind the closing one. */
  #list(close: '}' | ']', item: () => void): void {
    this.#at++;
    this.#skipSpace();
    if (this.#text[this.#at] === close) {
      this.#at++;
      return;
    }
    for (;;) {
      item();
      this.#skipSpace();
      const next = this.#text[this.#at];
      if (next === close) {
        this.#at++;
        return;
      }
      if (next !== ',') throw this.#unexpected(`a comma or ${close}`);
      const comma = this.#at++;
      this.#skipSpace();
      if (this.#text[this.#at] === close) throw new Fault(comma, `there is a comma before ${close}`);
    }
  }

  /** Gives the string as it stands, quotes included. */
  #string(): string {
    const start = this.#at++;
    for (; this.#at < this.#text.length; this.#at++) {
      const character = this.#text[this.#at]!;
      if (character === '"') return this.#text.slice(start, ++this.#at);
      if (character === '\n' || character === '\r') throw new Fault(start, 'this text does not end in its line');
      if (character < ' ') throw new Fault(this.#at, `a text has ${escaped(character)} as it is and not escaped`);
      if (character !== '\\') continue;
      const found = this.#match(/\\(?:["\\/bfnrt]|u[\da-fA-F]{4})/y);
      if (found === undefined)
        throw new Fault(
          this.#at,
          `${this.#text.slice(this.#at, this.#at + 2)} is no escape; a backslash is written \\\\`,
        );
      this.#at += found.length - 1;
    }
    throw new Fault(start, 'this text has no end');
  }

  #number(): boolean {
    const found = this.#match(/-?\d[\w.+-]*/y);
    if (found === undefined) return false;
    if (!/^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(found))
      throw new Fault(this.#at, `${found.slice(0, 40)} is no number of JSON`);
    this.#at += found.length;
    return true;
  }

  #skipSpace(): void {
    this.#take(/[ \t\n\r]+/y);
  }

  #take(pattern: RegExp): boolean {
    const found = this.#match(pattern);
    if (found === undefined) return false;
    this.#at += found.length;
    return true;
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    return pattern.exec(this.#text)?.[0];
  }

  #unexpected(wanted: string): Fault {
    if (this.#at >= this.#text.length) return new Fault(this.#at, `the JSON ends where ${wanted} is expected`);
    const found = this.#match(/\/[/*]|#|[\w.$+-]{1,40}|./suy)!;
    const what = found === '//' || found === '/*' || found === '#' ? ', and JSON has no comments' : '';
    return new Fault(
      this.#at,
      `${found === '"' ? `'"'` : JSON.stringify(found)} stands where ${wanted} is expected${what}`,
    );
  }
}

function escaped(character: string): string {
  return JSON.stringify(character).slice(1, -1);
}
