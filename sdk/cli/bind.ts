import { parseWords, usageError } from './arguments.js';
import type { Terminal } from './terminal.js';

export const usage = `usage: ultima bind ADDRESS [--release] [--driver NAME]

Take a storage controller from its kernel driver, so that vfio: can open it. Its disks disappear
from the system; nothing on them is changed. One that is mounted or in use is refused.

  ADDRESS        0000:01:00.0, as 'ultima list' shows it after vfio:
  --release      give it back to the kernel
  --driver NAME  to this driver; whichever claims it when left out`;

const address = /^(?:vfio:)?((?:[0-9a-f]{4}:)?[0-9a-f]{2}:[01][0-9a-f]\.[0-7])$/i;
const shortLength = 'bb:dd.f'.length;

export async function run(words: readonly string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parseWords(words, {
    release: { type: 'boolean' },
    driver: { type: 'string' },
  } as const);
  const [typed, ...rest] = positionals;
  const match = address.exec(typed ?? '');
  if (match === null || rest.length > 0) {
    throw usageError(`'${positionals.join(' ')}' is no address; the form is 0000:01:00.0`);
  }
  const place = match[1]!.length > shortLength ? match[1]! : `0000:${match[1]}`;
  const { bind, unbind } = await import('../../native/index.js');
  if (values.release === true) {
    unbind(place, values.driver ?? null);
    terminal.say(`ultima: ${place} is given back`);
    return 0;
  }
  const before = bind(place) ?? 'no driver';
  terminal.say(`ultima: ${place} was held by ${before} and is ready: vfio:${place}`);
  return 0;
}
