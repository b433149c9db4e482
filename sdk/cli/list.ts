import { knownCards } from '../open.js';
import { parseWords, usageError } from './arguments.js';
import { cardOptions } from './card.js';
import { formatOf } from './page-output.js';
import type { Terminal } from './terminal.js';

export const usage = `usage: ultima list [options]

The cards that the other commands take: the simulated ones that ship, by their profiles, and the
storage controllers of this machine.

  -o, --output-format WORD normal, json`;

export async function run(words: readonly string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parseWords(words, cardOptions);
  if (positionals.length > 0) throw usageError(`list takes no card, not ${positionals.join(' ')}`);
  const cards = await knownCards();
  const format = formatOf(values);
  if (format === 'binary') throw usageError('--output-format is binary; a list is normal or json');
  if (format === 'json') {
    terminal.out(`${JSON.stringify({ cards }, null, 2)}\n`);
    return 0;
  }
  const width = Math.max(...cards.map(({ address }) => address.length));
  for (const { address, summary } of cards) {
    terminal.out(`${address.padEnd(width)}  ${summary}\n`);
  }
  return 0;
}
