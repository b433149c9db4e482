import type { HeatTimeline } from './heat-timeline.js';
import { escapeText, frame, picture, plotLeft, plotTop } from './plot.js';
import { durationText, linearScale } from './scale.js';

/** Values over time, a row of cells for each name; 0 is nothing, the largest is darkest. */
export interface HeatMap {
  readonly title: string;
  /** Length of a column; the first one begins with the run. */
  readonly stepNs: number;
  /** Of the run: where the axis ends. */
  readonly durationNs: number;
  /** Drawn from the top down. */
  readonly rows: readonly { readonly name: string; readonly values: readonly number[] }[];
  /** What the value of a cell is, in words. */
  readonly text: (value: number) => string;
}

/** Twice as wide as other pictures: it has the page for itself. */
const heatWidth = 2 * frame.width;
const left = plotLeft + 60;
const right = heatWidth - frame.right;
const rowHeight = 14;
const axisHeight = 36;
const mostParts = 48;

/** The stretch of a run that is drawn. */
export interface HeatRange {
  readonly startNs: number;
  readonly durationNs: number;
}

/** All that is quicker than 2^7 ns is in one row: no device has answered. */
const leastRow = 13;

/** The row of a latency in a `HeatTimeline`: two for each doubling. */
export function latencyRow(latencyNs: number): number {
  return Math.max(leastRow, Math.floor(2 * Math.log2(Math.max(1, latencyNs))));
}

function rowName(row: number): string {
  return row === leastRow ? 'below 128 ns' : `from ${durationText(2 ** (row / 2))}`;
}

/** How many requests ended when, with which latency. @param counts  rows as `latencyRow` says */
export function latencyHeat(counts: HeatTimeline, range: HeatRange): HeatMap | null {
  const { durationNs } = range;
  const all = Array.from({ length: counts.rowCount }, (_, row) => {
    const values = counts.row(row, range.startNs + durationNs);
    return { name: rowName(row), values };
  });
  const isUsed = ({ values }: { readonly values: readonly number[] }): boolean =>
    values.some((value) => value > 0);
  const low = all.findIndex(isUsed);
  if (low < 0) return null;
  const rows = all.slice(low, all.findLastIndex(isUsed) + 1).reverse();
  const text = (value: number): string => `${value} requests`;
  return { title: 'Latency over time', stepNs: counts.stepNs, durationNs, rows, text };
}

/**
 * How busy each part was; parts of one kind together where there are too many for a row each.
 *
 * @param busy  a row for each name
 */
export function utilisationHeat(
  busy: HeatTimeline,
  names: readonly string[],
  range: HeatRange,
): HeatMap | null {
  if (busy.rowCount === 0) return null;
  const { startNs, durationNs } = range;
  const { stepNs } = busy;
  const isMany = names.length > mostParts;
  const groups = new Map<string, { sums: number[]; parts: number }>();
  for (const [row, name] of names.entries()) {
    const values = busy.row(row, startNs + durationNs);
    const key = isMany ? name.replace(/ \d+$/, 's') : name;
    const { sums, parts } = groups.get(key) ?? { sums: values.map(() => 0), parts: 0 };
    groups.set(key, { sums: sums.map((sum, i) => sum + values[i]!), parts: parts + 1 });
  }
  const rows = [...groups].map(([name, { sums, parts }]) => ({
    name,
    // What was reserved before the power went may overlap with what came after it.
    values: sums.map((ns) => Math.min(1, ns / (stepNs * parts))),
  }));
  const text = (value: number): string => `${(100 * value).toFixed(0)} % busy`;
  return { title: 'How busy the card was', stepNs, durationNs, rows, text };
}

export function heatPlot(map: HeatMap): string {
  const { rows, stepNs, durationNs } = map;
  const most = Math.max(...rows.flatMap(({ values }) => values));
  if (!(most > 0)) return '';
  const time = linearScale({ low: 0, high: durationNs, from: left, to: right }, 10);
  const width = ((right - left) * stepNs) / durationNs;
  const parts: string[] = [];
  for (const [i, { name, values }] of rows.entries()) {
    const y = plotTop + i * rowHeight;
    const at = `x="${left - 6}" y="${y + rowHeight - 4}"`;
    parts.push(`<text class="tick end" ${at}>${escapeText(name)}</text>`);
    for (const [column, value] of values.entries()) {
      if (value > 0) parts.push(cell(map, { value, most, column, y, width }));
    }
  }
  const bottom = plotTop + rows.length * rowHeight;
  for (const tick of time.ticks) {
    const x = time.at(tick).toFixed(1);
    const text = durationText(tick);
    parts.push(`<text class="tick middle" x="${x}" y="${bottom + 16}">${escapeText(text)}</text>`);
  }
  const middle = `x="${(left + right) / 2}" y="${bottom + 31}"`;
  parts.push(`<text class="label middle" ${middle}>time</text>`);
  const size = { width: heatWidth, height: bottom + axisHeight };
  return picture(parts.join(''), `${map.title}, by time`, size);
}

interface Cell {
  readonly value: number;
  readonly most: number;
  readonly column: number;
  readonly y: number;
  readonly width: number;
}

/** The square root: what is rare stays visible beside what is common. */
function cell({ text, stepNs }: HeatMap, { value, most, column, y, width }: Cell): string {
  const x = left + column * width;
  const opacity = Math.sqrt(value / most).toFixed(3);
  // The last column ends with the run.
  const wide = Math.min(width, right - x).toFixed(1);
  const box = `x="${x.toFixed(1)}" y="${y}" width="${wide}" height="${rowHeight - 1}"`;
  const hint = `${durationText(column * stepNs)}: ${text(value)}`;
  const title = `<title>${escapeText(hint)}</title>`;
  return `<rect class="fill0" fill-opacity="${opacity}" ${box}>${title}</rect>`;
}
