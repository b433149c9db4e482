/** A free number and where it may lie, both ends above 0. */
export interface FreeConstant {
  readonly low: number;
  readonly high: number;
  readonly start: number;
}

export interface Minimum {
  readonly values: readonly number[];
  readonly residual: number;
  /** How often the function was asked. */
  readonly evaluations: number;
}

const golden = (Math.sqrt(5) - 1) / 2;
/** An interval of this ratio of its ends is a point. */
const closeEnough = 1.01;
const gain = 1e-4;

/**
 * Find numbers that make a function small: one constant after the other, golden section over the
 * logarithm of its range, until a round gains nothing. Finds the one minimum of functions that have
 * one along each axis; of others, one near which nothing is better. Never worse than the start.
 */
export async function minimise(
  constants: readonly FreeConstant[],
  residual: (values: readonly number[]) => Promise<number>,
  rounds = 4,
): Promise<Minimum> {
  const values = constants.map(({ start }) => start);
  let best = await residual(values);
  let evaluations = 1;
  for (let round = 0; round < rounds; round++) {
    const before = best;
    for (const [i, { low, high }] of constants.entries()) {
      const at = async (value: number): Promise<number> => {
        evaluations++;
        return residual(values.with(i, value));
      };
      const found = await section(low, high, at);
      if (found.residual >= best) continue;
      best = found.residual;
      values[i] = found.value;
    }
    if (before - best < gain) break;
  }
  return { values, residual: best, evaluations };
}

async function section(
  low: number,
  high: number,
  residual: (value: number) => Promise<number>,
): Promise<{ value: number; residual: number }> {
  let from = Math.log(low);
  let to = Math.log(high);
  const inner = (part: number): number => Math.exp(from + (to - from) * part);
  let left = inner(1 - golden);
  let right = inner(golden);
  let atLeft = await residual(left);
  let atRight = await residual(right);
  while (to - from > Math.log(closeEnough)) {
    if (atLeft <= atRight) {
      to = Math.log(right);
      [right, atRight] = [left, atLeft];
      left = inner(1 - golden);
      atLeft = await residual(left);
    } else {
      from = Math.log(left);
      [left, atLeft] = [right, atRight];
      right = inner(golden);
      atRight = await residual(right);
    }
  }
  return atLeft <= atRight
    ? { value: left, residual: atLeft }
    : { value: right, residual: atRight };
}
