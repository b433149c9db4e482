import { parseWords, usageError } from './arguments.js';
import type { Terminal } from './terminal.js';

export const usage = `usage: ultima build-native

Compile the addon that real cards need. It takes cmake and a C++20 compiler, downloads nothing and
is needed for vfio: addresses only.`;

export async function run(words: readonly string[], terminal: Terminal): Promise<number> {
  const { positionals } = parseWords(words, {});
  if (positionals.length > 0) throw usageError(`build-native takes no words: ${positionals[0]}`);
  const { buildNative } = await import('../../native/index.js');
  const { isBuilt, reason } = buildNative();
  terminal.say(isBuilt ? 'ultima: the native addon is built' : reason);
  return isBuilt ? 0 : 1;
}
