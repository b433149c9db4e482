import { Prng } from '../../sim/prng.js';

/** What one plan has done, by name: 'commands', 'resets'. */
export type Tally = Record<string, number>;

/**
 * A campaign makes plans from seeds and runs them. A plan is a list of steps as plain data: any
 * part of it can be left out, and running it again does the same again.
 */
export interface Campaign<Step> {
  /** One sentence: what is tried and what must hold. */
  readonly claim: string;
  /** @param seed for campaigns whose first plans are enumerated */
  plan(prng: Prng, seed: number): Step[];
  /** @returns null, or in words what was violated; what it throws is a violation, too */
  run(steps: readonly Step[], seed: number, tally: Tally): string | null | Promise<string | null>;
}

/** A campaign whose kind of steps is nobody's business. */
export interface AnyCampaign {
  readonly claim: string;
  explore(seed: number, untilMs: number, isStopped?: () => boolean): Promise<Exploration>;
}

export interface Exploration {
  readonly seeds: number;
  readonly tally: Tally;
  readonly violation: string | null;
}

export function campaign<Step>(options: Campaign<Step>): AnyCampaign {
  const { claim } = options;
  return { claim, explore: (...words) => explore(options, ...words) };
}

/** Seeds in turn, at least one, until the time is over, one violates, or somebody stops it. */
async function explore<Step>(
  options: Campaign<Step>,
  firstSeed: number,
  untilMs: number,
  isStopped = (): boolean => false,
): Promise<Exploration> {
  const tally: Tally = {};
  let seed = firstSeed;
  do {
    const steps = options.plan(new Prng(seed, 'plan'), seed);
    const violation = await attempt(options, steps, seed, tally);
    if (violation !== null) {
      const text = await explain(options, steps, seed, violation);
      return { seeds: seed - firstSeed + 1, tally, violation: text };
    }
    seed++;
    // Campaigns that never wait would keep signals waiting.
    await new Promise((resolve) => setImmediate(resolve));
  } while (performance.now() < untilMs && !isStopped());
  return { seeds: seed - firstSeed, tally, violation: null };
}

async function attempt<Step>(
  options: Campaign<Step>,
  steps: readonly Step[],
  seed: number,
  tally: Tally,
): Promise<string | null> {
  try {
    return await options.run(steps, seed, tally);
  } catch (error) {
    return error instanceof Error ? `thrown: ${error.stack ?? error.message}` : String(error);
  }
}

const shrinkLimitMs = 20_000;

async function explain<Step>(
  options: Campaign<Step>,
  steps: readonly Step[],
  seed: number,
  violation: string,
): Promise<string> {
  const few = await shrink(options, steps, seed);
  const last = (await attempt(options, few, seed, {})) ?? violation;
  const lines = few.map((step) => `  ${JSON.stringify(step)}`);
  return [
    `seed ${seed}: ${last}`,
    `plan of ${few.length} (of ${steps.length}) steps:`,
    ...lines,
  ].join('\n');
}

/** Leave out ever smaller parts as long as something is still violated. */
async function shrink<Step>(
  options: Campaign<Step>,
  steps: readonly Step[],
  seed: number,
): Promise<readonly Step[]> {
  const untilMs = performance.now() + shrinkLimitMs;
  let few = steps;
  for (let size = Math.ceil(few.length / 2); size >= 1; ) {
    let isSmaller = false;
    for (let at = 0; at < few.length && performance.now() < untilMs; ) {
      const fewer = [...few.slice(0, at), ...few.slice(at + size)];
      if ((await attempt(options, fewer, seed, {})) === null) {
        at += size;
      } else {
        few = fewer;
        isSmaller = true;
      }
    }
    if (size === 1 && !isSmaller) break;
    if (performance.now() >= untilMs) break;
    size = Math.max(1, Math.floor(size / 2));
  }
  return few;
}

/**
 * The command line of `npm run fuzz` and `npm run storm`: NAME [seed] [--seconds N]. Prints the
 * seed first, ends with what was tried and the number of violations.
 *
 * @returns the exit code
 */
export async function main(
  verb: string,
  campaigns: Readonly<Record<string, AnyCampaign>>,
  words: readonly string[],
): Promise<number> {
  const names = Object.keys(campaigns).join(', ');
  const usage = `usage: npm run ${verb} -- NAME [seed] [--seconds N], NAME one of: ${names}`;
  const parsed = parse(words);
  const chosen = parsed === null ? undefined : campaigns[parsed.name];
  if (parsed === null || chosen === undefined) {
    console.error(usage);
    return 2;
  }
  const seed = parsed.seed ?? Math.floor(Date.now() / 1000);
  console.log(`seed ${seed}`);
  console.log(chosen.claim);
  const startMs = performance.now();
  let isStopped = false;
  const stop = (): void => {
    isStopped = true;
  };
  // A campaign that is stopped says what it has tried, and where it goes on.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop);
  const untilMs = startMs + parsed.seconds * 1000;
  const { seeds, tally, violation } = await chosen.explore(seed, untilMs, () => isStopped);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, stop);
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
  const counts = Object.entries(tally).map(([name, count]) => `${count} ${name}`);
  if (violation !== null) console.log(violation);
  const tried = [`${seeds} seeds from ${seed}`, ...counts].join(', ');
  console.log(`tried ${tried} in ${seconds} s; seed ${seed + seeds} goes on from here`);
  console.log(violation === null ? '0 violations' : '1 violations');
  return violation === null ? 0 : 1;
}

interface Arguments {
  readonly name: string;
  readonly seed: number | null;
  readonly seconds: number;
}

function parse(words: readonly string[]): Arguments | null {
  const rest = [...words];
  let seconds = 10;
  const at = rest.indexOf('--seconds');
  if (at >= 0) {
    seconds = Number(rest[at + 1]);
    rest.splice(at, 2);
  }
  const [name, seedText, ...others] = rest;
  const seed = seedText === undefined ? null : Number(seedText);
  const isSeed = seed === null || (Number.isSafeInteger(seed) && seed >= 0);
  const isGood = Number.isFinite(seconds) && seconds >= 0 && isSeed && others.length === 0;
  return name !== undefined && isGood ? { name, seed, seconds } : null;
}
