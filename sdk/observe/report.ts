import { writeFileAtomically } from './atomic-file.js';
import { type TimeSplit, timeTable } from './command-time.js';
import { type HeatMap, heatPlot } from './heat.js';
import type { Histogram } from './histogram.js';
import {
  type Bar,
  barPlot,
  escapeText,
  type Line,
  legend,
  linePlot,
  plotBottom,
  plotLeft,
  plotRight,
  plotTop,
  stackedBars,
} from './plot.js';
import { reportStyle } from './report-style.js';
import { countText, durationText, linearScale, logScale, ninesScale } from './scale.js';
import type { TimelinePoint } from './timeline.js';

export interface Fact {
  readonly label: string;
  readonly value: string;
}

/** What a run was and gave; everything in it is shown. */
export interface Report {
  readonly title: string;
  /** One sentence under the title. */
  readonly summary: string;
  /** The few figures that a reader wants first. */
  readonly headlines: readonly Fact[];
  /** What somebody needs to run it again. */
  readonly conditions: readonly Fact[];
  /** Completions over time, a line each. */
  readonly throughput: readonly { readonly name: string; readonly points: TimelinePoint[] }[];
  /** Latencies in nanoseconds, a curve each. */
  readonly latency: readonly { readonly name: string; readonly histogram: Histogram }[];
  /** Mean nanoseconds of each stage of an I/O, a bar each; the same stages in every bar. */
  readonly split: readonly {
    readonly name: string;
    readonly stages: readonly { readonly name: string; readonly meanNs: number }[];
  }[];
  /** Where the time of commands went inside of the card. */
  readonly inside?: readonly TimeSplit[];
  /** Values over time, a map each. */
  readonly heat?: readonly HeatMap[];
  /** Quantities over time in a plot of their own each: write amplification, garbage collection. */
  readonly courses?: readonly Course[];
}

interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Course {
  readonly title: string;
  readonly unit: string;
  /** Seconds, and the value there. */
  readonly points: readonly Point[];
  /** Another line in the same plot, and the names of both. */
  readonly beside?: {
    readonly names: readonly [string, string];
    readonly points: readonly Point[];
  };
}

/**
 * Write a report as one HTML file that opens without a network.
 *
 * @throws UltimaError FILE_UNWRITABLE; nothing is left half-written then
 */
export function writeReport(path: string, report: Report): void {
  writeFileAtomically(path, renderReport(report));
}

export function renderReport(report: Report): string {
  const title = escapeText(report.title);
  const sections = [
    headlines(report.headlines),
    '<div class="plots">',
    section('IOPS over time', ratePlot(report, 'IOPS')),
    section('MB/s over time', ratePlot(report, 'MB/s')),
    section('Latency percentiles', percentilePlot(report)),
    section('Where the time goes', splitPlot(report)),
    ...(report.courses ?? []).map((course) => section(course.title, coursePlot(course))),
    '</div>',
    ...(report.heat ?? []).map((map) => section(map.title, heatPlot(map))),
    section('Inside the card', insideTable(report.inside ?? [])),
    section('Latency distribution', distributionPlots(report)),
    section('Percentiles', percentileTable(report)),
    section('Conditions', factTable(report.conditions)),
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>${reportStyle}</style>
</head>
<body>
<main>
<h1>${title}</h1>
<p class="summary">${escapeText(report.summary)}</p>
${sections.join('\n')}
</main>
</body>
</html>
`;
}

function section(title: string, content: string): string {
  if (content === '') return '';
  return `<section><h2>${escapeText(title)}</h2>${content}</section>`;
}

function headlines(facts: readonly Fact[]): string {
  const tiles = facts.map(
    ({ label, value }) =>
      `<div class="tile"><b>${escapeText(value)}</b><span>${escapeText(label)}</span></div>`,
  );
  return `<div class="tiles">${tiles.join('')}</div>`;
}

function coursePlot({ title, unit, points, beside }: Course): string {
  const names = beside?.names ?? [title];
  const lines: Line[] = [points, ...(beside === undefined ? [] : [beside.points])].map(
    (line, index) => ({ name: names[index]!, points: line }),
  );
  const all = lines.flatMap((line) => line.points);
  const high = Math.max(...all.map(({ y }) => y));
  if (points.length < 2 || !(high > 0)) return '';
  const end = Math.max(...all.map(({ x }) => x));
  const x = linearScale({ low: 0, high: end, from: plotLeft, to: plotRight });
  const y = linearScale({ low: 0, high, from: plotBottom, to: plotTop });
  const plot = linePlot(
    lines,
    { scale: x, label: 'time', text: (seconds) => durationText(seconds * 1e9) },
    { scale: y, label: unit, text: countText },
  );
  return (beside === undefined ? '' : legend(names)) + plot;
}

type Rate = 'IOPS' | 'MB/s';

function ratePlot(report: Report, unit: Rate): string {
  const lines: Line[] = report.throughput
    .filter(({ points }) => points.some((point) => rateOf(point, unit).y > 0))
    .map(({ name, points }) => ({ name, points: points.map((point) => rateOf(point, unit)) }));
  if (lines.length === 0) return '';
  const all = lines.flatMap((line) => line.points);
  const high = Math.max(...all.map((point) => point.y));
  const end = Math.max(...all.map((point) => point.x));
  const x = linearScale({ low: 0, high: end, from: plotLeft, to: plotRight });
  const y = linearScale({ low: 0, high, from: plotBottom, to: plotTop });
  const plot = linePlot(
    lines,
    { scale: x, label: 'time', text: (seconds) => durationText(seconds * 1e9) },
    { scale: y, label: unit, text: countText },
  );
  return legend(lines.map((line) => line.name)) + plot;
}

function rateOf(point: TimelinePoint, unit: Rate): { x: number; y: number } {
  const seconds = point.lengthNs / 1e9;
  const amount = unit === 'IOPS' ? point.count : point.bytes / 1e6;
  return { x: (point.startNs + point.lengthNs / 2) / 1e9, y: amount / seconds };
}

/** Percentiles that say something about `count` samples, dense enough for a smooth line. */
function curvePercents(count: number): number[] {
  const percents: number[] = [];
  const end = Math.min(Math.log10(Math.max(count, 10)), 6);
  for (let nines = 0; nines <= end; nines += 0.05) percents.push(100 * (1 - 10 ** -nines));
  return percents;
}

function percentilePlot(report: Report): string {
  const curves = report.latency.filter(({ histogram }) => histogram.count > 0);
  if (curves.length === 0) return '';
  const slowest = Math.max(...curves.map(({ histogram }) => histogram.max));
  // What takes no time of the clock is drawn at the edge, not decades below everything else.
  const least = slowest > 1000 ? 100 : 1;
  const lines: Line[] = curves.map(({ name, histogram }) => {
    const percents = curvePercents(histogram.count);
    const values = histogram.percentiles(percents);
    return { name, points: percents.map((x, i) => ({ x, y: Math.max(least, values[i]!) })) };
  });
  const all = lines.flatMap((line) => line.points);
  const low = Math.min(...all.map((point) => point.y));
  const high = Math.max(...all.map((point) => point.y));
  const end = Math.max(...all.map((point) => point.x));
  const x = ninesScale({ high: end, from: plotLeft, to: plotRight });
  const padded = { low: low * 0.8, high: high * 1.25 };
  const y = logScale({ ...padded, from: plotBottom, to: plotTop });
  const plot = linePlot(
    lines,
    { scale: x, label: 'percentile', text: (percent) => `${percent} %` },
    { scale: y, label: 'latency', text: durationText },
  );
  return legend(lines.map((line) => line.name)) + plot;
}

const columnsPerDecade = 20;

function distributionPlots(report: Report): string {
  const plots = report.latency
    .map(({ name, histogram }, i) => ({ name, histogram, colour: i }))
    .filter(({ histogram }) => histogram.count > 0)
    .map(({ name, histogram, colour }) => {
      return `<div><h3>${escapeText(name)}</h3>${distributionPlot(histogram, colour)}</div>`;
    });
  return plots.length === 0 ? '' : `<div class="small">${plots.join('')}</div>`;
}

/** A decade at least, so that a narrow distribution looks narrow. */
function rangeOf(columns: readonly number[]): [first: number, last: number] {
  const first = Math.min(...columns) - 2;
  const last = Math.max(...columns) + 3;
  const missing = Math.max(0, columnsPerDecade - (last - first));
  return [first - Math.floor(missing / 2), last + Math.ceil(missing / 2)];
}

/** Shares on a logarithmic scale: the tail is what one wants to see. */
function distributionPlot(histogram: Histogram, colour: number): string {
  const columns = new Map<number, number>();
  for (const bin of histogram.bins()) {
    const middle = Math.max(1, (bin.low + bin.high) / 2);
    const column = Math.floor(Math.log10(middle) * columnsPerDecade);
    columns.set(column, (columns.get(column) ?? 0) + bin.count);
  }
  const edge = (column: number): number => 10 ** (column / columnsPerDecade);
  const [first, last] = rangeOf([...columns.keys()]);
  const x = logScale({ low: edge(first), high: edge(last), from: plotLeft, to: plotRight });
  const least = (Math.min(...columns.values()) / histogram.count) * 100;
  const low = 10 ** Math.floor(Math.log10(least) - 0.01);
  const y = logScale({ low, high: 100, from: plotBottom, to: plotTop });
  const bars: Bar[] = [...columns].map(([column, count]) => {
    const [from, to] = [edge(column), edge(column + 1)];
    const share = (count / histogram.count) * 100;
    const range = `${durationText(from)} – ${durationText(to)}`;
    const hint = `${range}: ${count} (${share.toPrecision(3)} %)`;
    return { left: x.at(from), right: x.at(to), value: share, hint };
  });
  const xAxis = { scale: x, label: 'latency', text: durationText };
  const yAxis = {
    scale: { ...y, ticks: y.ticks.filter((tick) => Number.isInteger(Math.log10(tick))) },
    label: 'share',
    text: (percent: number): string => `${Number(percent.toPrecision(3))} %`,
  };
  return barPlot(bars, { x: xAxis, y: yAxis, colour });
}

function splitPlot(report: Report): string {
  const [first] = report.split;
  if (first === undefined) return '';
  const rows = report.split.map(({ name, stages }) => ({
    name,
    shares: stages.map((stage) => ({ name: stage.name, value: stage.meanNs })),
  }));
  const names = first.stages.map((stage) => stage.name);
  const head = ['mean', ...report.split.map(({ name }) => name)];
  const body = names.map((name, i) => [
    name,
    ...report.split.map(({ stages }) => durationText(stages[i]?.meanNs ?? 0)),
  ]);
  const sums = report.split.map(({ stages }) => stages.reduce((sum, one) => sum + one.meanNs, 0));
  body.push(['together', ...sums.map(durationText)]);
  return legend(names) + stackedBars(rows, durationText) + table(head, body);
}

const shownPercents: readonly number[] = [50, 90, 95, 99, 99.9, 99.99, 99.999];

function percentileTable(report: Report): string {
  const rows = report.latency
    .filter(({ histogram }) => histogram.count > 0)
    .map(({ name, histogram }) => [
      name,
      String(histogram.count),
      ...[histogram.min, histogram.mean].map(durationText),
      ...histogram.percentiles(shownPercents).map(durationText),
      durationText(histogram.max),
    ]);
  if (rows.length === 0) return '';
  return table(['', 'count', 'min', 'mean', ...shownPercents.map((p) => `p${p}`), 'max'], rows);
}

function insideTable(splits: readonly TimeSplit[]): string {
  const [head, ...rows] = timeTable(splits);
  return head === undefined ? '' : table(head, rows);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = (tag: string, values: readonly string[]): string =>
    `<tr>${values.map((value) => `<${tag}>${escapeText(value)}</${tag}>`).join('')}</tr>`;
  const body = rows.map((row) => cells('td', row)).join('');
  return `<div class="scroll"><table><thead>${cells('th', head)}</thead>${body}</table></div>`;
}

function factTable(facts: readonly Fact[]): string {
  if (facts.length === 0) return '';
  const rows = facts.map(
    ({ label, value }) => `<tr><th>${escapeText(label)}</th><td>${escapeText(value)}</td></tr>`,
  );
  return `<div class="scroll"><table class="facts">${rows.join('')}</table></div>`;
}
