import { parseDuration, usageError } from './arguments.js';

/** A stretch of time since the first request. */
export interface Window {
  readonly fromNs: number;
  readonly toNs: number;
}

/** `1ms..3ms`, `0..500us`; everything when left out. @throws UltimaError USAGE */
export function windowOf(text: string | undefined): Window {
  if (text === undefined) return { fromNs: 0, toNs: Infinity };
  const [from = '', to = '', ...more] = text.split('..');
  const fromNs = from === '0' ? 0 : parseDuration('window', from);
  const toNs = parseDuration('window', to);
  if (more.length > 0 || toNs <= fromNs) {
    throw usageError(`--window is ${text}; it must be FROM..TO, such as 1ms..3ms`);
  }
  return { fromNs, toNs };
}
