import { spawn } from 'node:child_process';
import { parseWords, usageError } from './arguments.js';
import { pciAddress } from './pci-address.js';
import type { Terminal } from './terminal.js';

export const usage = `usage: ultima bind ADDRESS [-- COMMAND [ARGUMENT ...]]

Take a storage controller from its kernel driver, so that vfio: can open it. Its disks disappear
from the system; nothing on them is changed. One that is mounted or in use is refused.

  ADDRESS     0000:01:00.0, as 'ultima list' shows it after vfio:
  -- COMMAND  run this meanwhile, and give the controller back when it ends, however it ends;
              the exit code is the command's. Without it 'ultima unbind' gives it back`;

export async function run(words: readonly string[], terminal: Terminal): Promise<number> {
  const end = words.indexOf('--');
  const { positionals } = parseWords(end < 0 ? words : words.slice(0, end), {} as const);
  const command = end < 0 ? [] : words.slice(end + 1);
  if (end >= 0 && command.length === 0) throw usageError('there is no command after --');
  const place = pciAddress(positionals);
  const { bind, unbind } = await import('../../native/index.js');
  const before = bind(place);
  terminal.say(`ultima: ${place} was held by ${before ?? 'no driver'} and is ready: vfio:${place}`);
  if (command.length === 0) return 0;
  try {
    return await runCommand(command);
  } finally {
    unbind(place, before);
    terminal.say(`ultima: ${place} is given back to ${before ?? 'the kernel'}`);
  }
}

/** Signals of the keyboard are the command's business: we stay until it has ended. */
async function runCommand(command: readonly string[]): Promise<number> {
  const [file = '', ...rest] = command;
  const ignore = (): void => undefined;
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, ignore);
  try {
    return await new Promise<number>((resolve, reject) => {
      const child = spawn(file, rest, { stdio: 'inherit' });
      child.on('error', (error) => reject(usageError(`cannot run '${file}': ${error.message}`)));
      child.on('close', (code) => resolve(code ?? 1));
    });
  } finally {
    for (const signal of signals) process.off(signal, ignore);
  }
}
