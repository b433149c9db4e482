import { notGiven } from '../../sdk/faults/kinds.js';
import type { CheckedMatch } from '../../sdk/faults/plan.js';
import { Read } from '../../sdk/spec/nvme/nvm-command.js';
import { NvmOpcode } from '../../sdk/spec/nvme/opcodes.js';
import type { Command } from '../nvme/command.js';

const { read, write, compare, verify, writeZeroes, writeUncorrectable, copy } = NvmOpcode;
/** SLBA and NLB lie in the same place in all of these [NVM-1.0 §3.2]. */
const withRange: ReadonlySet<number> = new Set([
  read,
  write,
  compare,
  verify,
  writeZeroes,
  writeUncorrectable,
]);
const writing: ReadonlySet<number> = new Set([write, writeZeroes, writeUncorrectable, copy]);

/** Whether the conditions on the command itself hold; how many did before it is not asked here. */
export function isMatch(match: CheckedMatch, command: Command): boolean {
  const isAdmin = command.queueId === 0;
  if (match.queue !== notGiven && match.queue !== command.queueId) return false;
  if (match.opcode !== notGiven) {
    if (match.opcode !== command.opcode || match.isAdmin !== isAdmin) return false;
  }
  if (match.lba === notGiven) return true;
  const first = firstBlock(command);
  if (first === notGiven) return false;
  const end = first + Read.nlb.get(command.words, 0);
  return first < match.lba + match.blockCount && match.lba < end;
}

/** The first block that an I/O command names, or `notGiven`. */
export function firstBlock(command: Command): number {
  if (command.queueId === 0 || !withRange.has(command.opcode)) return notGiven;
  return Read.slba.get(command.words, 0);
}

export function isWriting(command: Command): boolean {
  return command.queueId !== 0 && writing.has(command.opcode);
}
