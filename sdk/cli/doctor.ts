import { parseWords, usageError } from './arguments.js';
import { cardOptions } from './card.js';
import { formatOf } from './page-output.js';
import type { Terminal } from './terminal.js';

export const usage = `usage: ultima doctor [options]

Everything that a real card needs on this machine, how it stands, and what to do about it: addon,
kernel, IOMMU, vfio-pci, limits, controllers. Nothing is changed. Simulated cards need none of it.

  -o, --output-format WORD normal, json

The exit code is 1 when something is wrong.`;

const marks = { ok: 'ok   ', note: 'note ', wrong: 'WRONG' } as const;

export async function run(words: readonly string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parseWords(words, cardOptions);
  if (positionals.length > 0) throw usageError(`doctor takes no words: ${positionals.join(' ')}`);
  const format = formatOf(values);
  if (format === 'binary') throw usageError('--output-format is binary; it is normal or json here');
  const { doctor } = await import('../../native/index.js');
  const findings = doctor();
  if (format === 'json') terminal.out(`${JSON.stringify({ findings }, null, 2)}\n`);
  else {
    for (const { check, verdict, text, remedy } of findings) {
      terminal.out(`${marks[verdict]} ${check}: ${text}\n`);
      if (remedy !== '') terminal.out(`      → ${remedy}\n`);
    }
  }
  return findings.some(({ verdict }) => verdict === 'wrong') ? 1 : 0;
}
