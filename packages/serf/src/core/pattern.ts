import { isWord, type Pattern, PatternError, type Place, parsePattern } from './pattern-syntax.js';

/** Longest expression that is read, and most steps that it may become. */
const maxExpressionLength = 1024;
const maxSteps = 1000;
const newline = 10;

/** One step of a compiled expression. */
type Step =
  | { readonly kind: 'one'; readonly takes: (code: number) => boolean; readonly next: number }
  | { readonly kind: 'at'; readonly place: Place; readonly next: number }
  | { kind: 'fork'; left: number; right: number }
  | { readonly kind: 'match' };

/**
 * Whether the value holds a match of the expression, which is not anchored; Go's syntax (RE2). One that cannot be read
 * matches nothing. Expressions come from any peer, so all states are followed at once instead of one after the other:
 * the time is at most steps times characters, where a backtracking engine can be made to run for years.
 */
export function matchesPattern(expression: string, value: string): boolean {
  try {
    return run(
      compile(expression),
      Array.from(value, (character) => character.codePointAt(0)!),
    );
  } catch (error) {
    if (error instanceof PatternError) return false;
    throw error;
  }
}

interface Program {
  readonly steps: readonly Step[];
  readonly start: number;
}

function compile(expression: string): Program {
  if (expression.length > maxExpressionLength) throw new PatternError('the expression is too long');
  const steps: Step[] = [{ kind: 'match' }];
  const add = (step: Step): number => {
    if (steps.length >= maxSteps) throw new PatternError('the expression becomes too large');
    steps.push(step);
    return steps.length - 1;
  };
  /** Built from the end: the steps of `pattern`, going on with `next`. */
  const build = (pattern: Pattern, next: number): number => {
    switch (pattern.kind) {
      case 'one':
        return add({ kind: 'one', takes: pattern.takes, next });
      case 'at':
        return add({ kind: 'at', place: pattern.place, next });
      case 'then':
        return pattern.parts.reduceRight((after, part) => build(part, after), next);
      case 'or':
        return pattern.choices
          .map((choice) => build(choice, next))
          .reduce((left, right) => add({ kind: 'fork', left, right }));
      case 'repeat': {
        const { part, least, most } = pattern;
        let start = next;
        if (most === Number.POSITIVE_INFINITY) {
          const loop: Step = { kind: 'fork', left: next, right: next };
          start = add(loop);
          loop.left = build(part, start);
        } else for (let i = least; i < most; i++) start = add({ kind: 'fork', left: build(part, start), right: next });
        for (let i = 0; i < least; i++) start = build(part, start);
        return start;
      }
    }
  };
  const start = build(parsePattern(expression), 0);
  return { steps, start };
}

function run({ steps, start }: Program, text: readonly number[]): boolean {
  // A step is in the list at most once for each place in the text; `seen` holds the last place it was put in.
  const seen = new Int32Array(steps.length).fill(-1);
  let now: number[] = [];
  let next: number[] = [];
  const pending: number[] = [];
  /** Follows forks and places from `first`; true when that ends in a match. */
  const follow = (first: number, at: number, into: number[]): boolean => {
    pending.push(first);
    for (let index = pending.pop(); index !== undefined; index = pending.pop()) {
      if (seen[index] === at) continue;
      seen[index] = at;
      const step = steps[index]!;
      if (step.kind === 'match') return true;
      if (step.kind === 'one') into.push(index);
      else if (step.kind === 'fork') pending.push(step.right, step.left);
      else if (holds(step.place, text, at)) pending.push(step.next);
    }
    return false;
  };
  for (let at = 0; ; at++) {
    if (follow(start, at, now)) return true;
    if (at >= text.length) return false;
    for (const index of now) {
      const step = steps[index]!;
      if (step.kind === 'one' && step.takes(text[at]!) && follow(step.next, at + 1, next)) return true;
    }
    [now, next] = [next, now];
    next.length = 0;
  }
}

function holds(place: Place, text: readonly number[], at: number): boolean {
  switch (place) {
    case 'text-start':
      return at === 0;
    case 'text-end':
      return at === text.length;
    case 'line-start':
      return at === 0 || text[at - 1] === newline;
    case 'line-end':
      return at === text.length || text[at] === newline;
    case 'word-edge':
      return isWord(text[at - 1]) !== isWord(text[at]);
    case 'no-word-edge':
      return isWord(text[at - 1]) === isWord(text[at]);
  }
}
