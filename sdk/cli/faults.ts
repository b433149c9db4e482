import { parseWords, usageError } from './arguments.js';
import { faultsOf, faultTable } from './fault-option.js';
import type { Terminal } from './terminal.js';

export const usage = `
ultima faults [PLAN]

The faults that a simulated card can have, with their fields and with what must survive each; or
check a plan without running it. A plan is JSON, for --faults of replay and bench:

  { "seed": 1, "faults": [
    { "kind": "latency spike", "addNs": 5000000, "count": 10,
      "when": { "command": { "opcode": "read", "every": 100 } } },
    { "kind": "power cut", "restoreAfterNs": 20000000, "when": { "atNs": 3000000 } } ] }

when       one of: event N (before event N of the world), atNs T (virtual time), command {...} with
           opcode, queue, lba, blockCount, first, every, probability
where      card, function, namespace, drive; the die is a field of the faults that have one
count      so often at most
`;

export async function run(words: readonly string[], terminal: Terminal): Promise<number> {
  const { positionals } = parseWords(words, {});
  const [path, ...rest] = positionals;
  if (rest.length > 0) throw usageError(`one plan at a time, not also ${rest.join(' ')}`);
  const plan = await faultsOf(path);
  if (plan === undefined) terminal.out(`${faultTable()}\n`);
  else terminal.out(`${path}: ${plan.faults.length} faults, all fields known\n`);
  return 0;
}
