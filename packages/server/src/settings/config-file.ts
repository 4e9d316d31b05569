import { isUtf8 } from 'node:buffer';
import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import type { SourceValues, Written } from './effective.js';
import { findJsonFault } from './json-fault.js';
import { settings } from './settings.js';

type Parser = (text: string, path: string) => unknown | Promise<unknown>;

/** One library a format, loaded when a file of that format is read: HCL's alone is HashiCorp's own parser as WebAssembly. */
const parsers: Readonly<Record<string, Parser>> = {
  '.json': (text) => {
    const fault = findJsonFault(text);
    if (!fault) return JSON.parse(text);
    throw Object.assign(new SyntaxError(fault.what), placeOf(text, fault.offset));
  },
  '.toml': async (text) => (await import('smol-toml')).parse(text),
  '.yaml': async (text) => (await import('yaml')).parse(text),
  '.yml': async (text) => (await import('yaml')).parse(text),
  '.hcl': async (text, path) => (await import('@cdktn/hcl2json')).parse(path, text).catch(explainHcl),
  '.ini': async (text) => checkedIni(text, (await import('ini')).parse(text)),
  '.env': async (text) => checkedDotenv(text, (await import('dotenv')).parse(text)),
  '.properties': async (text) => checkedProperties(text, await import('properties-file/parser')),
};

/** For messages: every format that `--conf` reads. */
const formats =
  'JSON (.json), TOML (.toml), YAML (.yaml, .yml), HCL (.hcl), INI (.ini), dotenv (.env), Java properties (.properties)';

/**
 * Reads a configuration file; its name tells the format. Keys are flags without their dashes, written with `-` or `_`, in
 * any case for dotenv, there also with `DCACHE_` in front. Throws a `TypeError` that names the file, and where it can the
 * line, and what is allowed.
 */
export async function readConfigFile(path: string): Promise<SourceValues> {
  const parser = parsers[path.endsWith('.env') ? '.env' : extname(path).toLowerCase()];
  if (!parser) throw new TypeError(`--conf ${path} is of no known format; it takes ${formats}`);
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    throw new TypeError(`--conf ${path} cannot be read: ${(error as Error).message}`);
  }
  if (!isUtf8(bytes)) throw new TypeError(`--conf ${path} is no text in UTF-8`);
  // Editors of some systems put a byte order mark in front.
  const text = bytes.toString('utf8').replace(/^\ufeff/, '');
  let parsed: unknown;
  try {
    parsed = await parser(text, path);
  } catch (error) {
    throw new TypeError(`--conf ${path} is broken: ${explain(error as ParseError)}`);
  }
  if (parsed === null && text.trim() === '') parsed = {};
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    throw new TypeError(`--conf ${path} holds no settings; it takes keys with values at its top level`);
  const values = new Map<string, Written>();
  for (const [key, value] of Object.entries(parsed)) {
    const name = settingName(key, path);
    if (values.has(name)) throw new TypeError(`--conf ${path} has ${name} twice, spelled in different ways`);
    values.set(name, written(value, key, path));
  }
  return { source: 'file', values, placeOf: () => path };
}

function settingName(key: string, path: string): string {
  const name = key
    .replace(/^DCACHE_/i, '')
    .replaceAll('_', '-')
    .toLowerCase();
  if (settings.some((setting) => setting.name === name)) return name;
  const names = settings.map((setting) => setting.name).join(', ');
  throw new TypeError(`--conf ${path} has the unknown key ${JSON.stringify(key)}; it takes ${names}`);
}

function written(value: unknown, key: string, path: string): Written {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint') return String(value);
  if (Array.isArray(value) && value.every((part) => typeof part === 'string')) return value;
  throw new TypeError(
    `--conf ${path} has ${key} = ${JSON.stringify(value)}; it takes text, a number, true or false, or a list of texts`,
  );
}

/** INI takes any line as a key; one without `=` is no setting, and a section would hide its keys. */
function checkedIni(text: string, parsed: Record<string, unknown>): Record<string, unknown> {
  checkLines(text, /^\s*(?:[;#].*|([^=[\]]+)=.*)?$/);
  return parsed;
}

/** dotenv passes over lines that it does not understand; here they are mistakes. */
function checkedDotenv(text: string, parsed: Record<string, string>): Record<string, string> {
  checkLines(text, /^\s*(?:#.*|(?:export\s+)?([\w.-]+)\s*[=:].*)?$/);
  return parsed;
}

/** `allowed` captures the key of a line, if it has one. */
function checkLines(text: string, allowed: RegExp): void {
  const keys = new Set<string>();
  text.split(/\r?\n/).forEach((line, i) => {
    const found = allowed.exec(line);
    if (!found) throw new TypeError(`line ${i + 1} is ${JSON.stringify(line)}, not key=value`);
    const key = found[1]?.trim();
    if (key === undefined) return;
    if (keys.has(key)) throw new TypeError(`line ${i + 1}: the key ${JSON.stringify(key)} is there twice`);
    keys.add(key);
  });
}

function checkedProperties(text: string, library: typeof import('properties-file/parser')): Record<string, string> {
  // The parser does not tell where; a backslash before it would make it no escape. In a comment nothing is one.
  const broken = /(?<=(?:^|[^\\])(?:\\\\)*)\\u(?![\da-fA-F]{4})/.exec(withoutComments(text));
  if (broken)
    throw Object.assign(
      new SyntaxError(`${text.slice(broken.index, broken.index + 6).split(/\s/, 1)[0]} is no escape`),
      placeOf(text, broken.index),
    );
  const properties = new library.Properties(text);
  const [collision] = properties.getKeyCollisions();
  if (collision)
    throw new TypeError(
      `line ${collision.nodes.at(-1)?.startingLineNumber}: the key ${JSON.stringify(collision.key)} is there twice`,
    );
  return properties.toObject();
}

/** The text with blanks for its comments, so that places stay. A line that continues another is none. */
function withoutComments(text: string): string {
  let isContinued = false;
  return text.replace(/[^\r\n]*(?:\r\n|\r|\n|$)/g, (line) => {
    if (!isContinued && /^[ \t\f]*[#!]/.test(line)) return line.replace(/[^\r\n]/g, ' ');
    isContinued = /(?:^|[^\\])(?:\\\\)*\\[\r\n]+$/.test(line);
    return line;
  });
}

/** HCL's parser puts a place in front, as `file:line,column-line,column: ` or without the second line. */
function explainHcl(error: Error): never {
  const found = /\[[^\]]*?:(\d+),(\d+)-[\d,]+: (.*)\]$/s.exec(error.message);
  if (!found) throw error;
  throw Object.assign(new SyntaxError(found[3]), { line: Number(found[1]), column: Number(found[2]) });
}

/** What parsers say beside their message: TOML's a line and a column, YAML's the same as `linePos`. */
interface ParseError extends Error {
  readonly line?: number;
  readonly column?: number;
  readonly linePos?: readonly { readonly line: number; readonly col: number }[];
}

/** Where the fault is, as far as the parser tells, and what it is. */
function explain({ message, line, column, linePos }: ParseError): string {
  const told = message.split('\n', 1)[0] ?? '';
  if (line !== undefined) return `line ${line}, column ${column}: ${told}`;
  const place = linePos?.[0];
  return place ? `line ${place.line}, column ${place.col}: ${told.replace(/ at line \d+, column \d+:$/, '')}` : told;
}

function placeOf(text: string, offset: number): { readonly line: number; readonly column: number } {
  const before = text.slice(0, offset).split('\n');
  return { line: before.length, column: before.at(-1)!.length + 1 };
}
