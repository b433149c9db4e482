#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { ErrorCode, UltimaError } from '../errors.js';
import { nearest, usageError } from './arguments.js';
import { type CommandEntry, commands } from './commands.js';
import { processTerminal, type Terminal } from './terminal.js';

const exitCode = { done: 0, failed: 1, usage: 2 } as const;

/** Codes that say: what was typed cannot be. */
const usageCodes: ReadonlySet<string> = new Set([
  ErrorCode.usage,
  ErrorCode.addressInvalid,
  ErrorCode.profileUnknown,
  ErrorCode.profileInvalid,
]);

// A reader that has seen enough, for instance `head`, is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? exitCode.done : exitCode.failed);
});
process.exitCode = await main(process.argv.slice(2), processTerminal());

async function main(words: readonly string[], terminal: Terminal): Promise<number> {
  try {
    return await runCommand(words, terminal);
  } catch (error) {
    if (error instanceof UltimaError) {
      terminal.say(`ultima: ${error.message}`);
      return usageCodes.has(error.code) ? exitCode.usage : exitCode.failed;
    }
    // A value that cannot be, as somebody has typed it.
    if (error instanceof RangeError && process.env.ULTIMA_STACK === undefined) {
      terminal.say(`ultima: ${error.message}`);
      return exitCode.usage;
    }
    // Not a state of the world but a mistake of ours: where it happened matters.
    terminal.say(`ultima: ${error instanceof Error ? (error.stack ?? error.message) : error}`);
    return exitCode.failed;
  }
}

async function runCommand(words: readonly string[], terminal: Terminal): Promise<number> {
  const [name, ...rest] = words;
  if (name === '--version' || name === '-V') {
    terminal.out(`ultima ${version()}\n`);
    return exitCode.done;
  }
  if (name === undefined) {
    terminal.say(help());
    return exitCode.usage;
  }
  if (name === '--help' || name === '-h' || (name === 'help' && rest.length === 0)) {
    terminal.out(`${help()}\n`);
    return exitCode.done;
  }
  const asked = name === 'help' ? rest[0]! : name;
  const module = await entryOf(asked).load();
  if (name === 'help' || rest.includes('--help') || rest.includes('-h')) {
    terminal.out(`${module.usage.trim()}\n`);
    return exitCode.done;
  }
  return module.run(rest, terminal);
}

function entryOf(name: string): CommandEntry {
  const entry = Object.entries(commands).find(([known]) => known === name)?.[1];
  if (entry !== undefined) return entry;
  const meant = nearest(name, Object.keys(commands));
  const hint = meant === undefined ? "'ultima --help' lists them" : `did you mean '${meant}'?`;
  throw usageError(`there is no command '${name}'; ${hint}`, { command: name });
}

function help(): string {
  const lines = Object.entries(commands).map(
    ([name, { summary }]) => `  ${name.padEnd(12)} ${summary}`,
  );
  return `ultima: NVMe cards, simulated and real

usage: ultima COMMAND [CARD] [options]

commands
${lines.join('\n')}

A CARD is an address:
  sim:ultima-g2        a simulated card, by the name of its profile ('ultima list' shows them)
  vfio:0000:01:00.0    a real one bound to vfio-pci
  vfio-user:PATH       one that another process serves at a UNIX socket

Try
  ultima replay fixtures/traces/ext4-sqlite.blkparse.gz
  ultima id-ctrl sim:ultima-g2 -H
  ultima bench --card sim:ultima-g2 --rw randread --bs 4k --iodepth 32 --runtime 1

'ultima COMMAND --help' says more. Results go to standard output, messages to standard error;
the exit code is 0, 1 for a failure, 2 for a command that cannot be.`;
}

function version(): string {
  const manifest: unknown = JSON.parse(
    readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'),
  );
  const isObject = typeof manifest === 'object' && manifest !== null && 'version' in manifest;
  return isObject ? String(manifest.version) : 'unknown';
}
