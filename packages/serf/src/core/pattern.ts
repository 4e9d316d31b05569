/** Longest expression and longest value that are tried. */
const maxExpressionLength = 512;

/** Whether the value holds a match of the expression; an expression that cannot be read matches nothing. */
export function matchesPattern(expression: string, value: string): boolean {
  if (expression.length > maxExpressionLength) return false;
  try {
    return new RegExp(expression, 'u').test(value);
  } catch {
    return false;
  }
}
