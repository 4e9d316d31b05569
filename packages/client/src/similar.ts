/** The name that was most likely meant by `given`: one that begins with it, or else one that few slips of the hand lead to. */
export function similar(given: string, names: readonly string[]): string | undefined {
  const beginning = names.filter((name) => given.length > 1 && name.startsWith(given));
  if (beginning.length > 0) return beginning.length === 1 ? beginning[0] : undefined;
  const [nearest] = names
    .filter((name) => Math.abs(name.length - given.length) < name.length)
    .map((name) => ({ name, slips: slipsBetween(given, name) }))
    .filter(({ name, slips }) => slips <= Math.max(1, Math.floor(name.length / 3)))
    .toSorted((a, b) => a.slips - b.slips);
  return nearest?.name;
}

/** How many letters were left out, put in, put in the place of another, or changed places with the next. */
function slipsBetween(a: string, b: string): number {
  // rows[i][j]: the slips between the first i letters of a and the first j of b.
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      let least = Math.min(rows[i - 1]![j]! + 1, row[j - 1]! + 1, rows[i - 1]![j - 1]! + same);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        least = Math.min(least, rows[i - 2]![j - 2]! + 1);
      row.push(least);
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}
