import type { PciFunction } from '../../../sdk/device.js';
import { SimCard } from '../../../sim/card.js';
import { CrossBench } from '../../cross/bench.js';
import { stepText } from '../../cross/compare.js';
import { type CrossReport, crossCheck, factsText, shrink } from '../../cross/cross-check.js';
import { twinProfile } from '../../cross/facts.js';
import { address, type GuestCase } from '../case.js';
import { classOf, knownDifferences } from '../differences.js';
import { withFunction } from './function.js';

const commands = 5_000;
const limitMs = 90_000;
const shrinkMs = 10_000;

/** QEMU's controller and the simulated one, the same commands on both. */
export function crossCases(seed: number): readonly GuestCase[] {
  return [
    {
      title: `${commands} commands and more end on QEMU's controller as on the simulated one`,
      run: () => withFunction(address.shared, (fn) => check(fn, seed)),
    },
  ];
}

async function check(fn: PciFunction, seed: number): Promise<void> {
  console.log(`     seed ${seed}`);
  const left = await CrossBench.open(fn);
  const profile = twinProfile(left.facts);
  const right = await CrossBench.open(new SimCard({ profile, seed }).open());
  console.log(`     QEMU | simulator: ${factsText(left.facts)} | ${factsText(right.facts)}`);
  const startMs = performance.now();
  const untilMs = startMs + limitMs;
  const report = await crossCheck({ left, right, seed, commands, untilMs, classOf });
  const seconds = Math.round((performance.now() - startMs) / 1000);
  console.log(
    `     ${report.commands} commands in ${report.sequences} sequences, ` +
      `${report.carriedOut} carried out by both, ${seconds} s`,
  );
  for (const { what } of knownDifferences) {
    const times = report.known.get(what) ?? 0;
    console.log(`     listed, ${times} times: ${what}`);
  }
  await explain(report, { left, right });
  if (report.commands < commands) throw new Error(`only ${report.commands} commands in time`);
  if (report.unlisted.size > 0) throw new Error(`${report.unlisted.size} differences unlisted`);
}

/** Every unlisted class, and the fewest steps that show the first ones. */
async function explain(
  report: CrossReport,
  pair: { readonly left: CrossBench; readonly right: CrossBench },
): Promise<void> {
  const untilMs = performance.now() + shrinkMs;
  for (const [text, { count, difference, sequence }] of report.unlisted) {
    console.log(`     unlisted, ${count} times, seed ${sequence.seed}: ${text}`);
    console.log(`       in ${JSON.stringify(difference.step)}`);
    if (performance.now() > untilMs) continue;
    const few = await shrink(pair, sequence, text, untilMs);
    for (const step of few.steps) console.log(`       ${stepText(step)} ${JSON.stringify(step)}`);
    console.log(`       ending ${JSON.stringify(few.ending)}`);
  }
}
