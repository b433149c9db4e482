/**
 * Write amplification in steady state as published models have it, under overwrite of a full drive.
 * Nothing here knows the simulator.
 */

/** One part of the data: its share of the writes and of the logical units. */
export interface DataClass {
  readonly writeShare: number;
  readonly dataShare: number;
}

/** Principal branch of Lambert's W for -1/e <= x <= 0, by Halley's steps. */
export function lambertW(x: number): number {
  let w = x > -0.25 ? x : -1 + Math.sqrt(2 * (1 + Math.E * x));
  for (let i = 0; i < 50; i++) {
    const e = Math.exp(w);
    const error = w * e - x;
    w -= error / (e * (w + 1) - ((w + 2) * error) / (2 * w + 2));
  }
  return w;
}

/**
 * First in, first out, and greedy with blocks of many units (Xiang and Kurkoski, arXiv 1110.4245).
 *
 * @param alpha  physical / logical units
 */
export function fifoUniform(alpha: number): number {
  return alpha / (alpha + lambertW(-alpha * Math.exp(-alpha)));
}

/**
 * Greedy with blocks of `b` units: a mean field in which the n units that are valid in a victim
 * obey (b - n) / (H_b - H_n) = u b, with u the utilisation of the closed blocks.
 */
export function greedyUniform(utilisation: number, b: number): number {
  let low = 0;
  let high = b;
  for (let i = 0; i < 200; i++) {
    const n = (low + high) / 2;
    const middle = (b - n) / (harmonic(b) - harmonic(n));
    if (middle < utilisation * b) low = n;
    else high = n;
  }
  return b / (b - low);
}

/**
 * Of all blocks, `outOfPool` are free or open and hold nothing that could be collected: what is
 * left is used more.
 *
 * @param overProvisioning  of the physical units, 0..1
 */
export function effectiveUtilisation(
  overProvisioning: number,
  blocks: number,
  outOfPool: number,
): number {
  return (1 - overProvisioning) / (1 - outOfPool / blocks);
}

/**
 * First in, first out with several classes of data in the same blocks (Desnoyers): a unit that was
 * written is written again by garbage collection when the host has not rewritten it within the time
 * in which the whole drive is written once.
 */
export function fifoMixed(alpha: number, classes: readonly DataClass[]): number {
  let wa = 1;
  for (let i = 0; i < 10_000; i++) {
    // Host writes until a place is collected, in multiples of the logical units.
    const turn = alpha / wa;
    let next = 0;
    for (const { writeShare, dataShare } of classes) {
      next += writeShare / (1 - Math.exp((-writeShare / dataShare) * turn));
    }
    if (Math.abs(next - wa) < 1e-12) return next;
    wa = (wa + next) / 2;
  }
  return wa;
}

/**
 * Classes apart in blocks of their own, large blocks, one pool of free blocks: every class is
 * collected first in, first out within itself, and the victim is the block with the best score. In
 * steady state the scores of the oldest blocks of all classes are equal, which divides the room.
 *
 * @param score  of a block with valid share v whose age is `age` host writes per logical unit
 */
export function separated(
  alpha: number,
  classes: readonly DataClass[],
  score: (valid: number, age: number) => number,
): number {
  // For a score, the age at which a class is collected; then its room; the rooms must add up.
  let low = 1e-9;
  let high = 1e9;
  let wa = 1;
  for (let i = 0; i < 200; i++) {
    const level = Math.sqrt(low * high);
    let room = 0;
    wa = 0;
    for (const { writeShare, dataShare } of classes) {
      const rate = writeShare / dataShare;
      const age = ageAt(level, rate, score);
      const valid = Math.exp(-rate * age);
      room += (dataShare * rate * age) / (1 - valid);
      wa += writeShare / (1 - valid);
    }
    if (room < alpha) low = level;
    else high = level;
  }
  return wa;
}

function ageAt(level: number, rate: number, score: (valid: number, age: number) => number): number {
  let low = 1e-9;
  let high = 1e6;
  for (let i = 0; i < 200; i++) {
    const age = Math.sqrt(low * high);
    if (score(Math.exp(-rate * age), age) < level) low = age;
    else high = age;
  }
  return low;
}

/** Greedy: the fewer valid, the better. */
export const greedyScore = (valid: number): number => 1 / Math.max(valid, 1e-300);

/** Rosenblum and Ousterhout. */
export const costBenefitScore = (valid: number, age: number): number =>
  (age * (1 - valid)) / Math.max(2 * valid, 1e-300);

/** H_n for n that need not be whole: the digamma function and Euler's constant. */
function harmonic(n: number): number {
  let x = n + 1;
  let shift = 0;
  while (x < 10) {
    shift -= 1 / x;
    x++;
  }
  const s = 1 / (x * x);
  const series = s * (1 / 12 - s * (1 / 120 - s * (1 / 252 - s * (1 / 240 - s / 132))));
  return Math.log(x) - 1 / (2 * x) - series + shift + 0.5772156649015329;
}
