/**
 * Recorded histories as files, one event a line, in two notations:
 *
 * ```
 * INFO  jepsen.util - 3	:invoke	:cas	[3 0]                                  a log of Jepsen (what is before "-" may lack)
 * {:process 3, :type :invoke, :f :append, :key "7", :value "x 0 1 y"}    one EDN map a line
 * ```
 *
 * `:invoke` opens an operation of a process; `:ok` completes it; `:fail` says that it did not happen, except that a
 * `cas` refused because the value differed is an observation; `:info` says that nobody knows. What is still under way
 * when the file ends is as unknown. Operations `read write cas` make a register, `get put append` a key-value store.
 */
import type { Operation } from '../history.js';
import { checkLinearizable } from './check.js';
import { type Edn, EdnError, printEdn, readEdn } from './edn.js';
import { type KeyValueAction, keyValueModel, type RegisterAction, registerModel } from './model.js';
import { renderExplanation } from './render.js';

/** The file is not a history; the message names the line. */
export class HistoryFormatError extends Error {
  override readonly name = 'HistoryFormatError';
}

/** A history and the model it is about. Positions are line numbers, from 1. */
export type RecordedHistory =
  | { readonly model: 'register'; readonly operations: readonly Operation<RegisterAction>[] }
  | { readonly model: 'key-value'; readonly operations: readonly Operation<KeyValueAction>[] };

/** Throws a `HistoryFormatError` where `text` is in neither notation. */
export function parseHistory(text: string): RecordedHistory {
  const events: LineEvent[] = [];
  text.split(/\r?\n/).forEach((line, index) => {
    const event = parseLine(line, index + 1);
    if (event !== undefined) events.push(event);
  });
  if (events.length === 0)
    throw new HistoryFormatError(
      'no operation found: neither a log of Jepsen nor EDN maps with :process, :type and :f',
    );
  const registers = events.filter((event) => ['read', 'write', 'cas'].includes(event.f)).length;
  if (registers === events.length) return { model: 'register', operations: pair(events, registerAction) };
  const keyValues = events.filter((event) => ['get', 'put', 'append'].includes(event.f)).length;
  if (keyValues === events.length) return { model: 'key-value', operations: pair(events, keyValueAction) };
  const stranger = events.find((event) => !['read', 'write', 'cas', 'get', 'put', 'append'].includes(event.f));
  throw stranger === undefined
    ? new HistoryFormatError('the operations of a register (read write cas) and of keys (get put append) are mixed')
    : new HistoryFormatError(
        `line ${stranger.line}: unknown operation :${stranger.f}; known are read write cas, and get put append`,
      );
}

/** What is wrong with the history, as text for people; undefined where it is linearizable. */
export function judgeHistory(history: RecordedHistory): string | undefined {
  if (history.model === 'register') {
    const verdict = checkLinearizable(registerModel, history.operations);
    return verdict.isLinearizable ? undefined : renderExplanation(registerModel, verdict.explanation);
  }
  const verdict = checkLinearizable(keyValueModel, history.operations);
  return verdict.isLinearizable ? undefined : renderExplanation(keyValueModel, verdict.explanation);
}

interface LineEvent {
  readonly line: number;
  readonly process: string;
  readonly type: 'invoke' | 'ok' | 'fail' | 'info';
  readonly f: string;
  readonly key: string;
  readonly value: Edn;
  readonly hasError: boolean;
}

const nil: Edn = { kind: 'nil' };
/** Jepsen's own prefix of an event; older logs write ` - `, newer ones `: `. */
const jepsenPrefix = /^.*\bjepsen\.util\s*(?:-|:)\s+/;
/** What a log holds besides events: lines of other loggers, and stack traces. */
const otherLogLine = /^(?:.*\b(?:TRACE|DEBUG|INFO|WARN|ERROR|FATAL)\b|\s+at |Caused by:|\s*;)/;

function parseLine(line: string, number: number): LineEvent | undefined {
  const text = line.replace(jepsenPrefix, '');
  if (text.trim() === '') return undefined;
  const looksLikeEvent = /^\s*(?:\{|\S+\s+:(?:invoke|ok|fail|info)\b)/.test(text);
  if (!looksLikeEvent && otherLogLine.test(line)) return undefined;
  let values: Edn[];
  try {
    values = readEdn(text);
  } catch (error) {
    if (!(error instanceof EdnError)) throw error;
    throw new HistoryFormatError(`line ${number}: ${error.message}: ${excerpt(line)}`);
  }
  const [first] = values;
  const fields = first?.kind === 'map' && values.length === 1 ? first.entries : positional(values);
  const process = fields.get('process') ?? nil;
  const type = keyword(fields.get('type'));
  const f = keyword(fields.get('f'));
  if (process.kind === 'keyword') return undefined; // :nemesis is no client
  if (process.kind !== 'atom' || f === undefined || !isType(type))
    throw new HistoryFormatError(`line ${number}: not an event of a history: ${excerpt(line)}`);
  return {
    line: number,
    process: process.text,
    type,
    f,
    key: fields.has('key') ? keyText(fields.get('key')!) : '',
    value: fields.get('value') ?? nil,
    hasError: fields.has('error'),
  };
}

/** `process :type :f value`, then perhaps an error. */
function positional(values: readonly Edn[]): Map<string, Edn> {
  const names = ['process', 'type', 'f', 'value', 'error'];
  return new Map(values.length < 3 || values.length > 5 ? [] : values.map((value, index) => [names[index]!, value]));
}

function keyword(value: Edn | undefined): string | undefined {
  return value?.kind === 'keyword' ? value.name : undefined;
}

function isType(type: string | undefined): type is LineEvent['type'] {
  return type === 'invoke' || type === 'ok' || type === 'fail' || type === 'info';
}

function keyText(value: Edn): string {
  return value.kind === 'string' ? value.text : printEdn(value);
}

function excerpt(line: string): string {
  return JSON.stringify(line.length > 80 ? `${line.slice(0, 80)}…` : line);
}

/** Joins each completion to the invocation of its process. `read` makes the action, or undefined if it never happened. */
function pair<Action>(
  events: readonly LineEvent[],
  read: (asked: LineEvent, answered: LineEvent | undefined) => Action | undefined,
): Operation<Action>[] {
  const open = new Map<string, LineEvent>();
  const operations: Operation<Action>[] = [];
  const add = (asked: LineEvent, answered: LineEvent | undefined): void => {
    const action = read(asked, answered);
    if (action === undefined) return;
    const isKnown = answered !== undefined && answered.type !== 'info';
    const returnedAt = isKnown ? answered.line : undefined;
    operations.push({ process: asked.process, key: asked.key, action, invokedAt: asked.line, returnedAt });
  };
  for (const event of events) {
    const asked = open.get(event.process);
    if (event.type === 'invoke') {
      if (asked !== undefined)
        throw new HistoryFormatError(
          `line ${event.line}: process ${event.process} asks again before its operation of line ${asked.line} has an answer`,
        );
      open.set(event.process, event);
      continue;
    }
    if (asked === undefined || asked.f !== event.f || asked.key !== event.key)
      throw new HistoryFormatError(
        `line ${event.line}: :${event.type} :${event.f} of process ${event.process} answers no operation`,
      );
    open.delete(event.process);
    add(asked, event);
  }
  for (const asked of open.values()) add(asked, undefined);
  return operations.sort((a, b) => a.invokedAt - b.invokedAt);
}

function registerAction(asked: LineEvent, answered: LineEvent | undefined): RegisterAction | undefined {
  const outcome = answered?.type ?? 'info';
  switch (asked.f) {
    case 'read':
      if (outcome === 'fail') return undefined;
      return { f: 'read', value: outcome === 'ok' ? printEdn(answered!.value) : undefined };
    case 'write':
      return outcome === 'fail' ? undefined : { f: 'write', value: printEdn(asked.value) };
    default: {
      const [from, to, ...more] = asked.value.kind === 'vector' ? asked.value.items : [];
      if (from === undefined || to === undefined || more.length > 0)
        throw new HistoryFormatError(`line ${asked.line}: cas takes [from to], got ${printEdn(asked.value)}`);
      // A failed cas that repeats its two values was refused because the register held something else; one that gives
      // a reason instead, such as :timed-out before it was sent, did not happen.
      if (outcome === 'fail' && (answered!.hasError || answered!.value.kind !== 'vector')) return undefined;
      const swapped = outcome === 'info' ? undefined : outcome === 'ok';
      return { f: 'cas', from: printEdn(from), to: printEdn(to), swapped };
    }
  }
}

function keyValueAction(asked: LineEvent, answered: LineEvent | undefined): KeyValueAction | undefined {
  if (answered?.type === 'fail') return undefined;
  if (asked.f === 'get') return { f: 'get', value: answered?.type === 'ok' ? textOf(answered) : undefined };
  return { f: asked.f === 'put' ? 'put' : 'append', value: textOf(asked) };
}

/** A missing key reads as nil or as the empty text: to this model they are the same. */
function textOf(event: LineEvent): string {
  if (event.value.kind === 'nil') return '';
  return event.value.kind === 'string' ? event.value.text : printEdn(event.value);
}
