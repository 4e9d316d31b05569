/** `key`, `key=value` or `key=(value,value)` of a directive. */
interface Argument {
  readonly key: string;
  /** Empty when there is no `=`. */
  readonly values: readonly string[];
}

/** One step of a script: a command, and what it must print. */
export interface Directive {
  /** Line of the command, from 1. */
  readonly line: number;
  readonly command: string;
  readonly arguments: readonly Argument[];
  /** Lines between the command and `----`, joined by line feeds. */
  readonly input: string;
  /** With a line feed after each line. */
  readonly expected: string;
}

/**
 * Reads a data-driven script:
 *
 * ```
 * # a comment
 * command argument key=value key=(value,value)
 * input
 * ----
 * expected output, up to a blank line
 *
 * command
 * ----
 * ----
 * expected output that may hold
 *
 * blank lines
 * ----
 * ----
 * ```
 *
 * A command may go on in the next line after a backslash. Undefined when the text is no such script at all: it has no
 * separator. Throws an Error that names the line when a directive has no end.
 */
export function parseScript(text: string): readonly Directive[] | undefined {
  const lines = text.replaceAll('\r\n', '\n').split('\n');
  if (!lines.includes('----')) return undefined;
  const directives: Directive[] = [];
  let at = 0;
  while (at < lines.length) {
    const first = lines[at]!.trim();
    if (first === '' || first.startsWith('#')) {
      at++;
      continue;
    }
    const line = at + 1;
    let head = first;
    while (head.endsWith('\\') && at + 1 < lines.length) head = `${head.slice(0, -1).trim()} ${lines[++at]!.trim()}`;
    at++;
    const inputStart = at;
    while (at < lines.length && lines[at] !== '----') at++;
    if (at >= lines.length) throw new Error(`line ${line}: '${head}' has no ---- after it`);
    const input = lines.slice(inputStart, at).join('\n');
    at++;
    const [expected, next] = readExpected(lines, at, line);
    at = next;
    const [command, ...rest] = tokens(head);
    directives.push({ line, command: command!, arguments: rest.map(parseArgument), input, expected });
  }
  return directives;
}

/** The output from line `at` on, and the line after it. */
function readExpected(lines: readonly string[], at: number, line: number): readonly [string, number] {
  const isFenced = lines[at] === '----';
  let end = isFenced ? at + 1 : at;
  if (isFenced) {
    while (end < lines.length && !(lines[end] === '----' && lines[end + 1] === '----')) end++;
    if (end >= lines.length) throw new Error(`line ${line}: the fenced output has no end`);
  } else {
    while (end < lines.length && lines[end]!.trim() !== '') end++;
  }
  const output = lines.slice(isFenced ? at + 1 : at, end);
  return [output.map((text) => `${text}\n`).join(''), isFenced ? end + 2 : end];
}

/** Splits at blanks, but not inside parentheses or double quotes. */
function tokens(head: string): readonly string[] {
  return head.match(/(?:\([^)]*\)|"(?:[^"\\]|\\.)*"|[^\s("]|[("])+/g) ?? [];
}

function parseArgument(token: string): Argument {
  const match = /^([^"=]+)=(.*)$/s.exec(token);
  if (match === null) return { key: token, values: [] };
  const [, key, value] = match;
  const list = /^\((.*)\)$/s.exec(value!);
  if (list === null) return { key: key!, values: [value!] };
  const values = list[1]!.trim() === '' ? [] : list[1]!.split(',').map((part) => part.trim());
  return { key: key!, values };
}
