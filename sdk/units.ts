export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;
export const TiB = 1024 * GiB;

export const usNs = 1_000;
export const msNs = 1_000_000;
export const secondNs = 1_000_000_000;

/** 2^32: what one step of the high dword of a 64-bit field is worth. */
export const dwordSpan = 0x1_0000_0000;

/** The low dword of an integer 0..2^53 - 1. */
export function lowDword(value: number): number {
  return value >>> 0;
}

/** The high dword of an integer 0..2^53 - 1. */
export function highDword(value: number): number {
  // Most are small, and the branch is cheaper than the division.
  return value < dwordSpan ? 0 : Math.floor(value / dwordSpan);
}

const sizeUnits: readonly [name: string, bytes: number][] = [
  ['', 1],
  ['KiB', KiB],
  ['MiB', MiB],
  ['GiB', GiB],
  ['TiB', TiB],
];

/** Bytes of '4096', '64KiB', '8TiB'; null for anything else. */
export function parseSize(text: string): number | null {
  const match = /^([0-9]+)([A-Za-z]*)$/.exec(text);
  const unit = sizeUnits.find(([name]) => name === match?.[2]);
  return match === null || unit === undefined ? null : Number(match[1]) * unit[1];
}

/**
 * The same integer below 2^31, kept as a small integer. A power or a quotient computes as a double,
 * and a field that once held a double makes every use of it floating-point arithmetic.
 */
export function smallInteger(value: number): number {
  return value | 0;
}
