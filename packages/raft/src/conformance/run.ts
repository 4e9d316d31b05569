import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { ChangeScript, changeCommands } from './change-script.js';
import { Interaction, interactionCommands } from './interaction.js';
import { QuorumScript, quorumCommands } from './quorum-script.js';
import { type Directive, parseScript } from './script.js';

/** What a script printed otherwise than it says. */
export interface Mismatch {
  readonly line: number;
  readonly command: string;
  readonly expected: string;
  readonly actual: string;
}

export interface ScriptResult {
  /** Relative to the folder that was searched. */
  readonly file: string;
  /** Commands that were run. */
  readonly commands: number;
  /** The first mismatch: what follows it often fails for its sake. */
  readonly mismatch: Mismatch | undefined;
}

interface Runner {
  run(directive: Directive): string;
}

const kinds: readonly { readonly commands: ReadonlySet<string>; readonly start: () => Runner }[] = [
  { commands: quorumCommands, start: () => new QuorumScript() },
  { commands: changeCommands, start: () => new ChangeScript() },
  { commands: interactionCommands, start: () => new Interaction() },
];

/** No script is nearly as large; data files may be much larger. */
const maxScriptBytes = 4 * 1024 * 1024;

/** Runs every script below `folder`, in the order of their names. Files that are no such script are left out. */
export function runScripts(folder: string): readonly ScriptResult[] {
  const results: ScriptResult[] = [];
  for (const file of filesBelow(folder)) {
    const result = runScript(folder, file);
    if (result !== undefined) results.push(result);
  }
  return results;
}

function filesBelow(folder: string): readonly string[] {
  if (statSync(folder).isFile()) return [''];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort();
}

/** Undefined when the file is no script of a kind known here. One that cannot be read fails, and the others go on. */
function runScript(folder: string, file: string): ScriptResult | undefined {
  const path = file === '' ? folder : join(folder, file);
  const name = file === '' ? path : file;
  let directives: readonly Directive[] | undefined;
  try {
    if (statSync(path).size > maxScriptBytes) return undefined;
    directives = parseScript(readFileSync(path, 'utf8'));
  } catch (error) {
    if (!path.endsWith('.txt')) return undefined;
    return { file: name, commands: 0, mismatch: { line: 0, command: '', expected: 'a script', actual: String(error) } };
  }
  const kind = kinds.find(({ commands }) => directives?.some(({ command }) => commands.has(command)));
  if (directives === undefined || kind === undefined) return undefined;
  const runner = kind.start();
  for (const directive of directives) {
    const mismatch = compare(directive, runner);
    if (mismatch !== undefined) return { file: name, commands: directives.length, mismatch };
  }
  return { file: name, commands: directives.length, mismatch: undefined };
}

function compare(directive: Directive, runner: Runner): Mismatch | undefined {
  const { line, command, expected } = directive;
  let actual: string;
  try {
    actual = runner.run(directive);
  } catch (error) {
    actual = error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
  if (actual !== '' && !actual.endsWith('\n')) actual += '\n';
  return actual === expected ? undefined : { line, command, expected, actual };
}

/** Beyond so many pairs of lines the two are shown one after the other, not line by line. */
const maxComparedPairs = 4_000_000;

/** The lines of both, those that differ marked: `-` is expected, `+` came. */
export function differenceText({ expected, actual }: Mismatch): string {
  const wanted = expected.split('\n');
  const got = actual.split('\n');
  if (wanted.length * got.length > maxComparedPairs)
    return [...wanted.map((line) => `- ${line}`), ...got.map((line) => `+ ${line}`)].join('\n');
  // Lines that both have in the same order stay as they are: the longest common subsequence.
  const common: number[][] = Array.from({ length: wanted.length + 1 }, () => new Array(got.length + 1).fill(0));
  for (let i = wanted.length - 1; i >= 0; i--)
    for (let j = got.length - 1; j >= 0; j--)
      common[i]![j] =
        wanted[i] === got[j] ? common[i + 1]![j + 1]! + 1 : Math.max(common[i + 1]![j]!, common[i]![j + 1]!);
  const lines: string[] = [];
  let i = 0;
  let j = 0;
  while (i < wanted.length || j < got.length) {
    if (i < wanted.length && j < got.length && wanted[i] === got[j]) {
      lines.push(`  ${wanted[i++]}`);
      j++;
    } else if (j >= got.length || (i < wanted.length && common[i + 1]![j]! >= common[i]![j + 1]!)) {
      lines.push(`- ${wanted[i++]}`);
    } else {
      lines.push(`+ ${got[j++]}`);
    }
  }
  return lines.join('\n');
}
