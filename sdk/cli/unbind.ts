import { parseWords } from './arguments.js';
import { pciAddress } from './pci-address.js';
import type { Terminal } from './terminal.js';

export const usage = `usage: ultima unbind ADDRESS [--driver NAME]

Give a controller that 'ultima bind' took back to the kernel: its disks appear again.

  ADDRESS        0000:01:00.0
  --driver NAME  to this driver; whichever claims it when left out`;

export async function run(words: readonly string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parseWords(words, { driver: { type: 'string' } } as const);
  const place = pciAddress(positionals);
  const { unbind } = await import('../../native/index.js');
  unbind(place, values.driver ?? null);
  terminal.say(`ultima: ${place} is given back`);
  return 0;
}
