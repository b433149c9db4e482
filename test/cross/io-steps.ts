import { Sqe } from '../../sdk/spec/nvme/command.js';
import {
  Copy,
  CopyRange0,
  DatasetManagement,
  DatasetRange,
  Read,
  Write,
  WriteZeroes,
} from '../../sdk/spec/nvme/nvm-command.js';
import { NvmOpcode } from '../../sdk/spec/nvme/opcodes.js';
import { dataForm } from './data-form.js';
import { type Dice, Draft } from './dice.js';
import { type CommandStep, dataBytes, deallocatedAt, windowBlocks } from './step.js';

const blockOpcodes = [
  NvmOpcode.read,
  NvmOpcode.read,
  NvmOpcode.write,
  NvmOpcode.write,
  NvmOpcode.compare,
  NvmOpcode.writeZeroes,
  NvmOpcode.verify,
] as const;

/** Opcodes that no controller here has. */
const unknownOpcodes = [0x03, 0x06, 0x07, 0x0a, 0x0b, 0x18, 0x20, 0x55, 0x79, 0x7d, 0x7f] as const;

/** A command for the I/O queue. */
export function ioStep(dice: Dice): CommandStep {
  const kind = dice.below(20);
  if (kind < 14) return blockStep(dice);
  if (kind < 16) return datasetStep(dice);
  if (kind < 18) return copyStep(dice);
  if (kind < 19) return spoiled(dice, new Draft(NvmOpcode.flush, dice.nsid())).step(1);
  return new Draft(dice.pick(unknownOpcodes), 1).step(1, { prp1: 0 });
}

function blockStep(dice: Dice): CommandStep {
  const opcode = dice.pick(blockOpcodes);
  const { blockBytes } = dice.facts;
  const hasLimit = opcode !== NvmOpcode.verify && opcode !== NvmOpcode.writeZeroes;
  const count = someCount(dice, hasLimit);
  const draft = new Draft(opcode, dice.nsid())
    .set(Read.slba, someLba(dice, count))
    .set(Read.nlb, count);
  flags(dice, draft, opcode);
  if (opcode === NvmOpcode.writeZeroes || opcode === NvmOpcode.verify) {
    return spoiled(dice, draft).step(1);
  }
  const form = dataForm(dice, draft, count * blockBytes);
  // Few seeds, so that a compare meets what it compares with.
  const seed = opcode === NvmOpcode.read ? null : dice.below(3);
  return spoiled(dice, draft).step(1, { ...form, seed });
}

function flags(dice: Dice, draft: Draft, opcode: number): void {
  if (dice.chance(0.2)) draft.set(Read.fua, 1);
  if (dice.chance(0.1)) draft.set(Read.lr, 1);
  if (opcode === NvmOpcode.writeZeroes && dice.chance(0.2)) draft.set(WriteZeroes.deac, 1);
  if (opcode === NvmOpcode.read && dice.chance(0.1)) draft.set(Read.dsm, dice.below(256));
  if (opcode === NvmOpcode.write && dice.fault(0.04)) draft.set(Write.dtype, 2 + dice.below(14));
  if (dice.chance(0.04)) draft.set(dice.pick([Read.prchkApp, Read.prchkGuard, Read.prchkRef]), 1);
}

/** Fused operations are not offered by both; the reserved value is nobody's. */
function spoiled(dice: Dice, draft: Draft): Draft {
  return dice.fault(0.02) ? draft.set(Sqe.fuse, 3) : draft;
}

/** What moves no data has a limit of its own, which is a capability. */
function someCount(dice: Dice, hasLimit: boolean): number {
  const { blockBytes, maxTransferBytes } = dice.facts;
  const most = dataBytes / blockBytes;
  if (!hasLimit || !dice.fault(0.06)) return 1 + dice.below(most);
  const limit = maxTransferBytes / blockBytes;
  return Math.min(0x1_0000, dice.pick([limit + 1, 2 * limit, 0x1_0000]));
}

/** Inside the two windows, or where no block is. */
function someLba(dice: Dice, count: number): number {
  const { blocks } = dice.facts;
  const inside = dice.below(Math.max(1, windowBlocks.start - count + 1));
  if (count > windowBlocks.start) return inside;
  const kind = dice.below(20);
  if (kind < 12) return inside;
  if (kind < 16) return blocks - Math.min(count, windowBlocks.end);
  if (kind < 18 || !dice.fault(1)) return inside;
  if (kind === 18) return blocks - count + 1 + dice.below(count + 2);
  return dice.pick([blocks, blocks + 1, 2 ** 32 - 1, 2 ** 32, 2 ** 52, 2 ** 53 - 1]);
}

function datasetStep(dice: Dice): CommandStep {
  const count = 1 + dice.below(4);
  const draft = new Draft(NvmOpcode.datasetManagement, dice.nsid()).set(
    DatasetManagement.nr,
    count,
  );
  if (dice.chance(0.7)) draft.set(DatasetManagement.ad, 1);
  if (dice.chance(0.2)) draft.set(DatasetManagement.idr, 1);
  const payload = new Uint32Array(count * 4);
  for (let i = 0; i < count; i++) {
    const { blocks } = dice.facts;
    const wrong = [blocks, blocks - 1, 2 ** 40];
    // What is inside has two blocks at least, so that no range ends with the namespace.
    DatasetRange.slba.set(payload, i * 4, dice.mostly(deallocatedAt + dice.below(64), wrong, 0.1));
    DatasetRange.length.set(payload, i * 4, dice.mostly(2 + dice.below(8), [0, 0xffff], 0.1));
  }
  return spoiled(dice, draft).step(1, { prp1: 0, payload: [...payload] });
}

function copyStep(dice: Dice): CommandStep {
  const { blocks } = dice.facts;
  const count = 1 + dice.below(3);
  const lengths = Array.from({ length: count }, () => 1 + dice.below(4));
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const to = dice.mostly(dice.below(windowBlocks.start - total), [blocks, blocks - 1], 0.08);
  const draft = new Draft(NvmOpcode.copy, dice.nsid()).set(Copy.sdlba, to).set(Copy.nr, count);
  draft.set(Copy.df, dice.mostly(0, [2, 7, 15], 0.06));
  if (dice.chance(0.1)) draft.set(Copy.fua, 1);
  const payload = new Uint32Array(count * 8);
  lengths.forEach((length, i) => {
    // Sources do not overlap the target: the order of the pieces would show.
    const from = blocks - windowBlocks.end + dice.below(windowBlocks.end - length);
    CopyRange0.slba.set(payload, i * 8, dice.mostly(from, [blocks, blocks - 1], 0.05));
    CopyRange0.nlb.set(payload, i * 8, length);
  });
  return spoiled(dice, draft).step(1, { prp1: 0, payload: [...payload] });
}
