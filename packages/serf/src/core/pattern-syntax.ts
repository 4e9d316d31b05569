/**
 * Reads regular expressions in the syntax of Go (RE2): no backreferences, no look-around, so that matching never takes
 * more than time in proportion to expression times text (Cox: Regular Expression Matching Can Be Simple And Fast, 2007).
 */
export type Pattern =
  /** One code point that `takes` accepts. */
  | { readonly kind: 'one'; readonly takes: (code: number) => boolean }
  | { readonly kind: 'at'; readonly place: Place }
  | { readonly kind: 'then'; readonly parts: readonly Pattern[] }
  | { readonly kind: 'or'; readonly choices: readonly Pattern[] }
  | { readonly kind: 'repeat'; readonly part: Pattern; readonly least: number; readonly most: number };

/** Where a match may begin or end, without taking a character. */
export type Place = 'text-start' | 'text-end' | 'line-start' | 'line-end' | 'word-edge' | 'no-word-edge';

type Takes = (code: number) => boolean;

/** Counts of a repetition above this are refused, as in RE2. */
const maxRepeat = 1000;
const maxDepth = 100;
const newline = 10;

interface Flags {
  readonly ignoreCase: boolean;
  readonly multiLine: boolean;
  readonly dotAll: boolean;
}

/** The expression cannot be read. */
export class PatternError extends Error {
  override readonly name = 'PatternError';
}

export function parsePattern(expression: string): Pattern {
  return new Parser(expression).parse();
}

export function isWord(code: number | undefined): boolean {
  if (code === undefined) return false;
  return (code >= 48 && code <= 57) || (code >= 65 && code <= 90) || code === 95 || (code >= 97 && code <= 122);
}

const isDigit: Takes = (code) => code >= 48 && code <= 57;
const isSpace: Takes = (code) => code === 32 || (code >= 9 && code <= 13 && code !== 11);
const not =
  (takes: Takes): Takes =>
  (code) =>
    !takes(code);
const within =
  (low: number, high: number): Takes =>
  (code) =>
    code >= low && code <= high;
const either =
  (choices: readonly Takes[]): Takes =>
  (code) =>
    choices.some((takes) => takes(code));

const classes: Readonly<Record<string, Takes>> = {
  d: isDigit,
  D: not(isDigit),
  w: isWord,
  W: not(isWord),
  s: isSpace,
  S: not(isSpace),
};

const posix: Readonly<Record<string, string>> = {
  alnum: '09AZaz',
  alpha: 'AZaz',
  ascii: '\x00\x7f',
  blank: '\t\t  ',
  cntrl: '\x00\x1f\x7f\x7f',
  digit: '09',
  graph: '!~',
  lower: 'az',
  print: ' ~',
  punct: '!/:@[`{~',
  space: '\t\r  ',
  upper: 'AZ',
  word: '09AZaz__',
  xdigit: '09AFaf',
};

const controls: Readonly<Record<string, number>> = { a: 7, f: 12, t: 9, n: 10, r: 13, v: 11 };

class Parser {
  readonly #text: string[];
  #at = 0;
  #flags: Flags = { ignoreCase: false, multiLine: false, dotAll: false };
  #depth = 0;

  constructor(expression: string) {
    this.#text = Array.from(expression);
  }

  parse(): Pattern {
    const pattern = this.#choices();
    if (this.#at < this.#text.length) throw new PatternError(`a ) too many at ${this.#at}`);
    return pattern;
  }

  #choices(): Pattern {
    if (++this.#depth > maxDepth) throw new PatternError(`groups nest deeper than ${maxDepth}`);
    const choices = [this.#sequence()];
    while (this.#take('|')) choices.push(this.#sequence());
    this.#depth--;
    return choices.length === 1 ? choices[0]! : { kind: 'or', choices };
  }

  #sequence(): Pattern {
    const parts: Pattern[] = [];
    for (let next = this.#peek(); next !== undefined && next !== '|' && next !== ')'; next = this.#peek()) {
      const part = this.#atom();
      if (part !== undefined) parts.push(this.#repeated(part));
    }
    return parts.length === 1 ? parts[0]! : { kind: 'then', parts };
  }

  #repeated(part: Pattern): Pattern {
    for (let times = 0; ; times++) {
      const counts = this.#counts();
      if (counts === undefined) return part;
      // `a**` is an error in RE2; `a*?` only prefers the shorter match, which does not matter here.
      if (times > 0) throw new PatternError('a repetition of a repetition');
      this.#take('?');
      part = { kind: 'repeat', part, least: counts[0], most: counts[1] };
    }
  }

  #counts(): [number, number] | undefined {
    if (this.#take('*')) return [0, Number.POSITIVE_INFINITY];
    if (this.#take('+')) return [1, Number.POSITIVE_INFINITY];
    if (this.#take('?')) return [0, 1];
    const counts = /^\{(\d+)(,(\d*))?\}/.exec(this.#text.slice(this.#at, this.#at + 16).join(''));
    if (counts === null) return undefined;
    this.#at += counts[0].length;
    const least = Number(counts[1]);
    const most = counts[2] === undefined ? least : counts[3] === '' ? Number.POSITIVE_INFINITY : Number(counts[3]);
    if (least > maxRepeat || (most !== Number.POSITIVE_INFINITY && most > maxRepeat) || most < least)
      throw new PatternError(`a repetition ${counts[0]}`);
    return [least, most];
  }

  #atom(): Pattern | undefined {
    const character = this.#next();
    const { multiLine, dotAll } = this.#flags;
    switch (character) {
      case '.':
        return { kind: 'one', takes: dotAll ? () => true : (code) => code !== newline };
      case '^':
        return { kind: 'at', place: multiLine ? 'line-start' : 'text-start' };
      case '$':
        return { kind: 'at', place: multiLine ? 'line-end' : 'text-end' };
      case '[':
        return { kind: 'one', takes: this.#set() };
      case '(':
        return this.#group();
      case '\\':
        return this.#escape();
      case '*':
      case '+':
      case '?':
        throw new PatternError(`nothing to repeat at ${this.#at - 1}`);
      default:
        return this.#literal(character.codePointAt(0)!);
    }
  }

  #group(): Pattern | undefined {
    const outer = this.#flags;
    if (this.#take('?')) {
      if (this.#take('P') || this.#peek() === '<') {
        if (!this.#take('<')) throw new PatternError('a group (?P without a name');
        while (this.#next() !== '>');
      } else if (this.#setFlags()) return undefined;
    }
    const inner = this.#choices();
    if (!this.#take(')')) throw new PatternError('a ( without its )');
    this.#flags = outer;
    return inner;
  }

  /** Reads `i-s:` or `i-s)`; true for the latter, which holds to the end of the group around it. */
  #setFlags(): boolean {
    let isOn = true;
    for (;;) {
      const flag = this.#next();
      if (flag === ':') return false;
      if (flag === ')') return true;
      if (flag === '-') isOn = false;
      else if (flag === 'i') this.#flags = { ...this.#flags, ignoreCase: isOn };
      else if (flag === 'm') this.#flags = { ...this.#flags, multiLine: isOn };
      else if (flag === 's') this.#flags = { ...this.#flags, dotAll: isOn };
      else if (flag !== 'U') throw new PatternError(`a group (?${flag}`);
    }
  }

  #escape(): Pattern {
    const character = this.#next();
    if (character === 'b') return { kind: 'at', place: 'word-edge' };
    if (character === 'B') return { kind: 'at', place: 'no-word-edge' };
    if (character === 'A') return { kind: 'at', place: 'text-start' };
    if (character === 'z') return { kind: 'at', place: 'text-end' };
    if (character === 'Q') return this.#quoted();
    const set = this.#escapedSet(character);
    return set === undefined ? this.#literal(this.#escapedCode(character)) : { kind: 'one', takes: set };
  }

  #quoted(): Pattern {
    const parts: Pattern[] = [];
    while (this.#peek() !== undefined && !(this.#peek() === '\\' && this.#text[this.#at + 1] === 'E'))
      parts.push(this.#literal(this.#next().codePointAt(0)!));
    this.#at += 2;
    return { kind: 'then', parts };
  }

  #escapedSet(character: string): Takes | undefined {
    const known = Object.hasOwn(classes, character) ? classes[character] : undefined;
    if (known !== undefined) return known;
    if (character !== 'p' && character !== 'P') return undefined;
    let name = this.#next();
    if (name === '{') {
      name = '';
      for (let part = this.#next(); part !== '}'; part = this.#next()) name += part;
    }
    const isNegated = (character === 'P') !== name.startsWith('^');
    const one = propertyTest(name.replace(/^\^/, ''));
    return isNegated ? not(one) : one;
  }

  #escapedCode(character: string): number {
    if (Object.hasOwn(controls, character)) return controls[character]!;
    if (character === 'x') {
      const digits = /^(?:\{([0-9a-fA-F]{1,6})\}|([0-9a-fA-F]{2}))/.exec(
        this.#text.slice(this.#at, this.#at + 8).join(''),
      );
      if (digits === null) throw new PatternError('\\x without a number');
      this.#at += digits[0].length;
      return Number.parseInt(digits[1] ?? digits[2]!, 16);
    }
    if (character === '0') return 0;
    // A letter or digit without a meaning, such as the backreference \1, is an error and not itself.
    if (/[0-9A-Za-z]/.test(character)) throw new PatternError(`\\${character} has no meaning`);
    return character.codePointAt(0)!;
  }

  #set(): Takes {
    const isNegated = this.#take('^');
    const choices: Takes[] = [];
    for (let isFirst = true; isFirst || this.#peek() !== ']'; isFirst = false) choices.push(this.#setMember());
    this.#at++;
    const folded = this.#folded(either(choices));
    return isNegated ? not(folded) : folded;
  }

  #setMember(): Takes {
    const character = this.#next();
    if (character === '[' && this.#peek() === ':') {
      const name = /^:(\^?)([a-z]+):\]/.exec(this.#text.slice(this.#at, this.#at + 12).join(''));
      const ranges = name !== null && Object.hasOwn(posix, name[2]!) ? posix[name[2]!]! : undefined;
      if (name === null || ranges === undefined) throw new PatternError('a class [: that has no such name');
      this.#at += name[0].length;
      const pairs = Array.from({ length: ranges.length / 2 }, (_, i) =>
        within(ranges.charCodeAt(2 * i), ranges.charCodeAt(2 * i + 1)),
      );
      return name[1] === '^' ? not(either(pairs)) : either(pairs);
    }
    let low: number;
    if (character === '\\') {
      const escaped = this.#next();
      const set = this.#escapedSet(escaped);
      if (set !== undefined) return set;
      low = this.#escapedCode(escaped);
    } else low = character.codePointAt(0)!;
    if (this.#peek() !== '-' || this.#text[this.#at + 1] === ']') return within(low, low);
    this.#at++;
    const end = this.#next();
    const high = end === '\\' ? this.#escapedCode(this.#next()) : end.codePointAt(0)!;
    if (high < low) throw new PatternError('a range that ends before it begins');
    return within(low, high);
  }

  #literal(code: number): Pattern {
    return { kind: 'one', takes: this.#folded(within(code, code)) };
  }

  #folded(takes: Takes): Takes {
    if (!this.#flags.ignoreCase) return takes;
    return (code) => {
      const character = String.fromCodePoint(code);
      return (
        takes(code) || takes(character.toLowerCase().codePointAt(0)!) || takes(character.toUpperCase().codePointAt(0)!)
      );
    };
  }

  #peek(): string | undefined {
    return this.#text[this.#at];
  }

  #next(): string {
    const character = this.#text[this.#at++];
    if (character === undefined) throw new PatternError('the expression ends too early');
    return character;
  }

  #take(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }
}

/** Whether a code point has a Unicode property; one character is tested at a time, so the engine's own classes do. */
function propertyTest(name: string): Takes {
  if (!/^[A-Za-z_]{1,32}$/.test(name)) throw new PatternError(`a property ${name}`);
  for (const property of [`\\p{${name}}`, `\\p{Script=${name}}`]) {
    try {
      const expression = new RegExp(property, 'u');
      return (code) => expression.test(String.fromCodePoint(code));
    } catch {
      // Not a category: then perhaps a script.
    }
  }
  throw new PatternError(`a property ${name}`);
}
