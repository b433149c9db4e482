/** Maps values of a quantity to positions on the page. */
export interface Scale {
  at(value: number): number;
  readonly ticks: readonly number[];
}

export interface ScaleRange {
  readonly low: number;
  readonly high: number;
  /** Positions of `low` and `high`. */
  readonly from: number;
  readonly to: number;
}

/** Even steps of 1, 2 or 5 times a power of ten, about `wanted` of them. */
export function linearScale(range: ScaleRange, wanted = 5): Scale {
  const { low, from, to } = range;
  const high = range.high > low ? range.high : low + 1;
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough) ?? 10 * power;
  const ticks: number[] = [];
  for (let n = Math.ceil(low / step); n * step <= high * (1 + 1e-9); n++) ticks.push(n * step);
  return { ticks, at: (value) => from + ((value - low) / (high - low)) * (to - from) };
}

/** Powers of ten, with 2 and 5 between them when they are few. */
export function logScale(range: ScaleRange): Scale {
  const { low, high, from, to } = range;
  const start = Math.log10(Math.max(low, 1e-9));
  const end = Math.max(Math.log10(Math.max(high, 1e-9)), start + 1e-9);
  const factors = end - start < 3 ? [1, 2, 5] : [1];
  const ticks: number[] = [];
  for (let power = Math.floor(start); power <= Math.ceil(end); power++) {
    for (const factor of factors) {
      const tick = factor * 10 ** power;
      if (Math.log10(tick) >= start - 1e-9 && Math.log10(tick) <= end + 1e-9) ticks.push(tick);
    }
  }
  const position = (value: number): number => Math.log10(Math.max(value, 1e-9));
  return { ticks, at: (v) => from + ((position(v) - start) / (end - start)) * (to - from) };
}

/** 0 %, 90 %, 99 %, 99.9 %: each nine as wide as the one before. */
export function ninesScale(range: Omit<ScaleRange, 'low'>): Scale {
  const { from, to } = range;
  const nines = (percent: number): number => -Math.log10(1 - Math.min(percent, 99.99999) / 100);
  const end = Math.max(nines(range.high), 1);
  const ticks = [0, 90, 99, 99.9, 99.99, 99.999, 99.9999].filter((p) => nines(p) <= end + 1e-9);
  return { ticks, at: (percent) => from + (nines(percent) / end) * (to - from) };
}

/** A duration in the unit that leaves 1 to 999 of it. */
export function durationText(ns: number): string {
  if (ns === 0) return '0';
  if (ns < 1000) return `${round(ns)} ns`;
  if (ns < 1e6) return `${round(ns / 1000)} µs`;
  if (ns < 1e9) return `${round(ns / 1e6)} ms`;
  return `${round(ns / 1e9)} s`;
}

/** 12,300 as `12.3 k`. */
export function countText(value: number): string {
  if (value < 10_000) return round(value);
  if (value < 1e6) return `${round(value / 1000)} k`;
  if (value < 1e9) return `${round(value / 1e6)} M`;
  return `${round(value / 1e9)} G`;
}

/** Three figures. */
function round(value: number): string {
  if (value === 0) return '0';
  const digits = Math.max(0, Math.min(3, 2 - Math.floor(Math.log10(Math.abs(value)))));
  return String(Number(value.toFixed(digits)));
}
