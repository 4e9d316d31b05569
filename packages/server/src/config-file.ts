import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import type { SourceValues, Written } from './effective.js';
import { settings } from './settings.js';

type Parser = (text: string, path: string) => unknown | Promise<unknown>;

/** One library a format, loaded when a file of that format is read: HCL's alone is HashiCorp's own parser as WebAssembly. */
const parsers: Readonly<Record<string, Parser>> = {
  '.json': (text) => JSON.parse(text),
  '.toml': async (text) => (await import('smol-toml')).parse(text),
  '.yaml': async (text) => (await import('yaml')).parse(text),
  '.yml': async (text) => (await import('yaml')).parse(text),
  '.hcl': async (text, path) => (await import('@cdktn/hcl2json')).parse(path, text),
  '.ini': async (text) => checkedIni(text, (await import('ini')).parse(text)),
  '.env': async (text) => checkedDotenv(text, (await import('dotenv')).parse(text)),
  '.properties': async (text) => (await import('properties-file')).getProperties(text),
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
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new TypeError(`--conf ${path} cannot be read: ${(error as Error).message}`);
  }
  let parsed: unknown;
  try {
    parsed = await parser(text, path);
  } catch (error) {
    throw new TypeError(`--conf ${path} is broken: ${placeIn(text, error as ParseError)}`);
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
  checkLines(text, /^\s*(?:[;#].*|[^=[\]]+=.*)?$/);
  return parsed;
}

/** dotenv passes over lines that it does not understand; here they are mistakes. */
function checkedDotenv(text: string, parsed: Record<string, string>): Record<string, string> {
  checkLines(text, /^\s*(?:#.*|(?:export\s+)?[\w.-]+\s*[=:].*)?$/);
  return parsed;
}

function checkLines(text: string, allowed: RegExp): void {
  text.split(/\r?\n/).forEach((line, i) => {
    if (!allowed.test(line)) throw new TypeError(`line ${i + 1} is ${JSON.stringify(line)}, not key=value`);
  });
}

/** What TOML's parser says beside its message. */
interface ParseError extends Error {
  readonly line?: number;
  readonly column?: number;
}

/** Where the fault is, as far as the parser tells, and what it is. */
function placeIn(text: string, { message, line, column }: ParseError): string {
  const told = firstLine(message);
  if (line !== undefined) return `line ${line}, column ${column}: ${told}`;
  const position = /\bposition (\d+)/.exec(told)?.[1];
  const at = position === undefined && /^Unexpected end of JSON/.test(told) ? text.length : position;
  if (at === undefined) return told;
  const before = text.slice(0, Number(at)).split('\n');
  return `line ${before.length}, column ${before.at(-1)!.length + 1}: ${told}`;
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? text;
}
