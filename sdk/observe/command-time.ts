/** A number of nanoseconds by part, for one kind of command. */
export interface TimeSplit {
  readonly name: string;
  readonly count: number;
  readonly totalNs: number;
  readonly parts: readonly { readonly name: string; readonly ns: number }[];
}

/**
 * A table of where the time of commands went: mean microseconds of each part, and as the last rows
 * their sum, the commands, and all of the nanoseconds that the parts add up to.
 */
export function timeTable(splits: readonly TimeSplit[]): string[][] {
  const [first] = splits;
  if (first === undefined) return [];
  const mean = (ns: number, { count }: TimeSplit): string => (ns / count / 1000).toFixed(3);
  const sum = (split: TimeSplit): number => split.parts.reduce((all, { ns }) => all + ns, 0);
  return [
    ['inside the card (mean us)', ...splits.map(({ name }) => name)],
    ...first.parts
      .map(({ name }, i) => ({ name, i }))
      .filter(({ i }) => splits.some(({ parts }) => parts[i]!.ns > 0))
      .map(({ name, i }) => [name, ...splits.map((split) => mean(split.parts[i]!.ns, split))]),
    ['together', ...splits.map((split) => mean(sum(split), split))],
    ['commands', ...splits.map(({ count }) => String(count))],
    ['ns of all, the parts added', ...splits.map((split) => String(sum(split)))],
    ['ns of all, from doorbell to entry', ...splits.map(({ totalNs }) => String(totalNs))],
  ];
}
