import { runCases } from './case.js';
import { compareCases } from './cases/compare.js';
import { conformanceCases } from './cases/conformance.js';
import { functionCases } from './cases/function.js';
import { kernelCases } from './cases/kernel.js';
import { lossCases } from './cases/loss.js';
import { processCases } from './cases/process.js';

/** Runs inside the guest: all groups of cases, or those named on the command line. */
const groups = {
  function: functionCases,
  kernel: kernelCases,
  process: processCases,
  loss: lossCases,
  conformance: conformanceCases('shared'),
} as const;

/** Groups that measure: only when they are asked for. */
const measuring = { compare: compareCases } as const;

const asked = process.argv.slice(2);
let failed = 0;
for (const [name, cases] of Object.entries(groups)) {
  if (asked.length === 0 || asked.includes(name)) failed += await runCases(name, cases);
}
for (const [name, cases] of Object.entries(measuring)) {
  if (asked.includes(name)) failed += await runCases(name, cases);
}
process.exitCode = failed === 0 ? 0 : 1;
