import { type ConfChangeSingle, ConfChangeType } from '../core/conf-change.js';
import type { NodeId } from '../core/message.js';
import { ScriptError } from './cluster.js';
import type { Directive } from './script.js';

// What the commands of all kinds of script read from their directive.

/** The arguments that are node ids, in order. */
export function nodeIds({ arguments: given }: Directive): readonly NodeId[] {
  return given.filter(({ values }) => values.length === 0).map(({ key }) => wholeNumber(key));
}

/** The first argument, which must be a node id. */
export function firstNodeId(directive: Directive): NodeId {
  const id = nodeIds(directive)[0];
  if (id === undefined) throw new ScriptError(`${directive.command} takes a node`);
  return id;
}

/** The values of `key=...`, or undefined where it is not given. */
export function optionValues({ arguments: given }: Directive, key: string): readonly string[] | undefined {
  return given.find((argument) => argument.key === key && argument.values.length > 0)?.values;
}

/** The one value of `key=...`. */
export function optionValue(directive: Directive, key: string): string | undefined {
  return optionValues(directive, key)?.[0];
}

export function wholeNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new ScriptError(`'${text}' is not a number`);
  return Number(text);
}

export function flag(text: string): boolean {
  if (/^(1|t|true)$/i.test(text)) return true;
  if (/^(0|f|false)$/i.test(text)) return false;
  throw new ScriptError(`'${text}' is neither true nor false`);
}

const letters: ReadonlyMap<string, ConfChangeType> = new Map([
  ['v', ConfChangeType.addNode],
  ['l', ConfChangeType.addLearner],
  ['r', ConfChangeType.removeNode],
  ['u', ConfChangeType.updateNode],
]);

/** Changes written as `v1 l2 r3 u4`. */
export function parseChanges(text: string): readonly ConfChangeSingle[] {
  return text
    .split(/\s+/)
    .filter((token) => token !== '')
    .map((token) => {
      const type = letters.get(token[0]!);
      if (type === undefined || token.length < 2) throw new ScriptError(`unknown token ${token}`);
      return { type, nodeId: wholeNumber(token.slice(1)) };
    });
}
