import type { Scale } from './scale.js';

/** The drawing area inside its margins, in the units of the picture. */
export const frame = { width: 640, height: 260, left: 64, right: 16, top: 12, bottom: 40 } as const;
export const plotLeft: number = frame.left;
export const plotRight: number = frame.width - frame.right;
export const plotTop: number = frame.top;
export const plotBottom: number = frame.height - frame.bottom;

/** Lines and bars beyond the last colour begin again with the first. */
const colours = 8;

export interface Axis {
  readonly scale: Scale;
  readonly label: string;
  readonly text: (value: number) => string;
}

export interface Line {
  readonly name: string;
  readonly points: readonly { readonly x: number; readonly y: number }[];
  /** Shown when the pointer rests on a point. */
  readonly hint?: (point: { readonly x: number; readonly y: number }) => string;
}

export interface Bar {
  /** Positions of its edges. */
  readonly left: number;
  readonly right: number;
  readonly value: number;
  readonly hint: string;
}

/** Names with the colours in which their lines or bars are drawn. */
export function legend(names: readonly string[]): string {
  if (names.length < 2) return '';
  const items = names.map(
    (name, i) => `<li><i class="swatch fill${i % colours}"></i>${escapeText(name)}</li>`,
  );
  return `<ul class="legend">${items.join('')}</ul>`;
}

export function linePlot(lines: readonly Line[], x: Axis, y: Axis): string {
  const drawn = lines.map((line, i) => drawLine(line, i % colours, { x, y }));
  return picture(`${axes(x, y)}${drawn.join('')}`, `${y.label} by ${x.label}`);
}

function drawLine(line: Line, colour: number, { x, y }: { x: Axis; y: Axis }): string {
  const at = line.points.map((p) => `${place(x.scale.at(p.x))},${place(y.scale.at(p.y))}`);
  if (at.length === 0) return '';
  const path = `<polyline class="line stroke${colour}" points="${at.join(' ')}"/>`;
  const { hint } = line;
  if (hint === undefined) return path;
  const marks = line.points.map((point) => {
    const [cx, cy] = [place(x.scale.at(point.x)), place(y.scale.at(point.y))];
    const title = `<title>${escapeText(hint(point))}</title>`;
    return `<circle class="mark fill${colour}" cx="${cx}" cy="${cy}" r="3">${title}</circle>`;
  });
  return path + marks.join('');
}

export interface BarPlot {
  readonly x: Axis;
  readonly y: Axis;
  readonly colour: number;
}

export function barPlot(bars: readonly Bar[], { x, y, colour }: BarPlot): string {
  const drawn = bars.map((bar) => {
    const top = y.scale.at(bar.value);
    const size = `width="${place(Math.max(0.5, bar.right - bar.left - 1))}"`;
    const height = place(Math.max(0, plotBottom - top));
    const title = `<title>${escapeText(bar.hint)}</title>`;
    const corner = `x="${place(bar.left)}" y="${place(top)}"`;
    const box = `${corner} ${size} height="${height}"`;
    return `<rect class="fill${colour % colours}" ${box}>${title}</rect>`;
  });
  return picture(`${axes(x, y)}${drawn.join('')}`, `${y.label} by ${x.label}`);
}

function axes(x: Axis, y: Axis): string {
  const parts: string[] = [];
  for (const tick of y.scale.ticks) {
    const at = place(y.scale.at(tick));
    parts.push(`<line class="grid" x1="${plotLeft}" x2="${plotRight}" y1="${at}" y2="${at}"/>`);
    const text = escapeText(y.text(tick));
    parts.push(`<text class="tick end" x="${plotLeft - 8}" y="${at}" dy="4">${text}</text>`);
  }
  for (const tick of x.scale.ticks) {
    const at = place(x.scale.at(tick));
    const text = escapeText(x.text(tick));
    parts.push(`<text class="tick middle" x="${at}" y="${plotBottom + 17}">${text}</text>`);
  }
  const base = `x1="${plotLeft}" x2="${plotRight}" y1="${plotBottom}" y2="${plotBottom}"`;
  parts.push(`<line class="base" ${base}/>`);
  const middle = place((plotLeft + plotRight) / 2);
  const label = escapeText(x.label);
  parts.push(`<text class="label middle" x="${middle}" y="${frame.height - 4}">${label}</text>`);
  return parts.join('');
}

export interface Share {
  readonly name: string;
  readonly value: number;
}

/** One horizontal bar per row, cut into shares; every row uses the same length per unit. */
export function stackedBars(
  rows: readonly { readonly name: string; readonly shares: readonly Share[] }[],
  text: (value: number) => string,
): string {
  const longest = Math.max(1e-9, ...rows.map((row) => total(row.shares)));
  const height = 44;
  const parts: string[] = [];
  for (const [i, row] of rows.entries()) {
    const top = i * height + 4;
    let left = plotLeft;
    const middle = top + 19;
    parts.push(
      `<text class="tick end" x="${left - 8}" y="${middle}">${escapeText(row.name)}</text>`,
    );
    for (const [n, share] of row.shares.entries()) {
      const width = (share.value / longest) * (plotRight - plotLeft - 60);
      if (width <= 0) continue;
      const title = `<title>${escapeText(`${share.name}: ${text(share.value)}`)}</title>`;
      const box = `x="${place(left)}" y="${top}" width="${place(Math.max(0.5, width - 1))}"`;
      parts.push(`<rect class="fill${n % colours}" ${box} height="30">${title}</rect>`);
      left += width;
    }
    const sum = escapeText(text(total(row.shares)));
    parts.push(`<text class="tick" x="${place(left + 6)}" y="${middle}">${sum}</text>`);
  }
  return picture(parts.join(''), 'where the time goes', { height: rows.length * height });
}

function total(shares: readonly Share[]): number {
  return shares.reduce((sum, share) => sum + share.value, 0);
}

export function picture(
  content: string,
  label: string,
  size: { readonly width?: number; readonly height?: number } = {},
): string {
  const box = `viewBox="0 0 ${size.width ?? frame.width} ${size.height ?? frame.height}"`;
  return `<svg ${box} role="img" aria-label="${escapeText(label)}">${content}</svg>`;
}

function place(value: number): string {
  return Number.isFinite(value) ? String(Math.round(value * 10) / 10) : '0';
}

/** Text of ours or of a file's name may hold what HTML takes for itself. */
export function escapeText(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
