import { runCases } from './case.js';
import { callCases } from './cases/calls.js';
import { compareCases } from './cases/compare.js';
import { conformanceCases } from './cases/conformance.js';
import { crossCases } from './cases/cross.js';
import { databaseCases } from './cases/database.js';
import { fabricCases } from './cases/fabric.js';
import { functionCases } from './cases/function.js';
import { kernelCases } from './cases/kernel.js';
import { lossCases } from './cases/loss.js';
import { memoryCases } from './cases/memory.js';
import { processCases } from './cases/process.js';
import { qosCases } from './cases/qos.js';
import { pinCases, servedCases } from './cases/served.js';
import { sessionCases } from './cases/session.js';
import { toolCases } from './cases/tools.js';
import { virtualCases } from './cases/virtual.js';
import { workersCases } from './cases/workers.js';

/**
 * Runs inside the guest: all groups of cases, or those named on the command line; `seed=N` is for
 * those that are random.
 */
const words = process.argv.slice(2);
const asked = words.filter((word) => !word.includes('='));
const seed = Number(words.find((word) => word.startsWith('seed='))?.slice('seed='.length) ?? 1);

const groups = {
  function: functionCases,
  memory: memoryCases,
  calls: callCases,
  kernel: kernelCases,
  process: processCases,
  workers: workersCases,
  loss: lossCases,
  virtual: virtualCases,
  tools: toolCases,
  session: sessionCases,
  qos: qosCases,
  cross: crossCases(seed),
  conformance: [
    ...conformanceCases('shared'),
    ...conformanceCases('cmb', ['memory-buffer']),
    ...conformanceCases('protected', ['metadata', 'protection']),
  ],
} as const;

/** Groups that measure, or need another machine: only when they are asked for. */
const special = {
  compare: compareCases,
  served: servedCases,
  pin: pinCases,
  database: databaseCases,
  tcp: fabricCases,
} as const;

// The firmware leaves its last message without an end of line.
console.log();
let failed = 0;
for (const [name, cases] of Object.entries({ ...groups, ...special })) {
  const isChosen = asked.length === 0 ? name in groups : asked.includes(name);
  if (!isChosen) continue;
  const startMs = performance.now();
  failed += await runCases(name, cases);
  console.log(`     ${name}: ${Math.round((performance.now() - startMs) / 1000)} s`);
}
process.exitCode = failed === 0 ? 0 : 1;
