import type { LoggedIo } from './io-log.js';
import { escapeText, frame, picture, plotLeft, plotRight, plotTop } from './plot.js';
import { durationText } from './scale.js';
import type { SpanLog } from './span-log.js';

/** Values over time, a row of cells for each name; 0 is nothing, the largest is darkest. */
export interface HeatMap {
  readonly title: string;
  /** Time of the first column, and of each. */
  readonly startNs: number;
  readonly stepNs: number;
  /** Drawn from the top down. */
  readonly rows: readonly { readonly name: string; readonly values: readonly number[] }[];
  /** What the value of a cell is, in words. */
  readonly text: (value: number) => string;
}

export const heatColumns = 80;
const rowHeight = 14;
const axisHeight = 26;
const mostParts = 48;

/** How many requests ended when, with which latency: a row per power of the root of two. */
export function latencyHeat(ios: Iterable<LoggedIo>): HeatMap | null {
  const points: [endNs: number, row: number][] = [];
  let firstNs = Infinity;
  let lastNs = 0;
  for (const { timesNs } of ios) {
    const endNs = timesNs[timesNs.length - 1]!;
    const latencyNs = Math.max(1, endNs - timesNs[0]!);
    points.push([endNs, Math.floor(2 * Math.log2(latencyNs))]);
    firstNs = Math.min(firstNs, timesNs[0]!);
    lastNs = Math.max(lastNs, endNs);
  }
  if (points.length === 0) return null;
  const high = Math.max(...points.map(([, row]) => row));
  const low = Math.min(...points.map(([, row]) => row));
  const stepNs = Math.max(1, (lastNs - firstNs) / heatColumns);
  const cells = Array.from({ length: high - low + 1 }, () => emptyRow());
  for (const [endNs, row] of points) {
    const column = Math.min(heatColumns - 1, Math.floor((endNs - firstNs) / stepNs));
    cells[high - row]![column]! += 1;
  }
  const rows = cells.map((values, i) => ({ name: durationText(2 ** ((high - i) / 2)), values }));
  const text = (value: number): string => `${value} requests`;
  return { title: 'Latency over time', startNs: firstNs, stepNs, rows, text };
}

/** How busy each part was; parts of one kind together where there are too many for a row each. */
export function utilisationHeat(
  log: SpanLog,
  names: readonly string[],
  range: { readonly fromNs: number; readonly toNs: number },
): HeatMap | null {
  const { fromNs, toNs } = range;
  if (log.count === 0 || toNs <= fromNs) return null;
  const stepNs = (toNs - fromNs) / heatColumns;
  const isMany = names.length > mostParts;
  const groups = new Map<string, { values: number[]; parts: number }>();
  for (const [track, name] of names.entries()) {
    const key = isMany ? name.replace(/ \d+$/, 's') : name;
    const group = groups.get(key) ?? { values: emptyRow(), parts: 0 };
    groups.set(key, group);
    group.parts++;
    for (const [startNs, endNs] of log.of(track)) {
      addTo(group.values, [startNs - fromNs, endNs - fromNs], stepNs);
    }
  }
  const rows = [...groups].map(([name, { values, parts }]) => ({
    name,
    values: values.map((ns) => Math.min(1, ns / (stepNs * parts))),
  }));
  const text = (value: number): string => `${(100 * value).toFixed(0)} % busy`;
  return { title: 'How busy the card was', startNs: fromNs, stepNs, rows, text };
}

export function heatPlot(map: HeatMap): string {
  const { rows, stepNs } = map;
  const most = Math.max(...rows.flatMap(({ values }) => values));
  if (!(most > 0)) return '';
  const left = plotLeft + 40;
  const width = (plotRight - left) / heatColumns;
  const parts: string[] = [];
  for (const [i, { name, values }] of rows.entries()) {
    const y = plotTop + i * rowHeight;
    const at = `x="${left - 6}" y="${y + rowHeight - 4}"`;
    parts.push(`<text class="tick end" ${at}>${escapeText(name)}</text>`);
    for (const [column, value] of values.entries()) {
      if (value > 0) parts.push(cell(map, { value, most, column, left, y, width }));
    }
  }
  const bottom = plotTop + rows.length * rowHeight;
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    const x = (left + share * (plotRight - left)).toFixed(1);
    const text = durationText(share * heatColumns * stepNs);
    parts.push(`<text class="tick middle" x="${x}" y="${bottom + 16}">${escapeText(text)}</text>`);
  }
  return picture(parts.join(''), map.title, Math.min(bottom + axisHeight, 40 * frame.height));
}

interface Cell {
  readonly value: number;
  readonly most: number;
  readonly column: number;
  readonly left: number;
  readonly y: number;
  readonly width: number;
}

/** The square root: what is rare stays visible beside what is common. */
function cell({ text, stepNs }: HeatMap, { value, most, column, left, y, width }: Cell): string {
  const x = (left + column * width).toFixed(1);
  const opacity = Math.sqrt(value / most).toFixed(3);
  const box = `x="${x}" y="${y}" width="${width.toFixed(1)}" height="${rowHeight - 1}"`;
  const hint = `${durationText(column * stepNs)}: ${text(value)}`;
  const title = `<title>${escapeText(hint)}</title>`;
  return `<rect class="fill0" fill-opacity="${opacity}" ${box}>${title}</rect>`;
}

/** Spread a stretch over the columns that it touches. */
function addTo(values: number[], [start, end]: readonly [number, number], stepNs: number): void {
  const first = Math.max(0, Math.floor(start / stepNs));
  const last = Math.min(heatColumns - 1, Math.floor(end / stepNs));
  for (let column = first; column <= last; column++) {
    const from = Math.max(start, column * stepNs);
    const to = Math.min(end, (column + 1) * stepNs);
    values[column]! += Math.max(0, to - from);
  }
}

function emptyRow(): number[] {
  return new Array<number>(heatColumns).fill(0);
}
