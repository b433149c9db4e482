import { Psdt, Sqe, sgl1Dword } from '../../sdk/spec/nvme/command.js';
import { SglDescriptor, SglType, sglDescriptorBytes } from '../../sdk/spec/nvme/data-pointer.js';
import type { Dice, Draft } from './dice.js';
import { type CommandStep, dataBytes, listAt, sandboxPage } from './step.js';

type Form = Pick<CommandStep, 'prp1' | 'prp2' | 'list'>;

/** Ways to describe `length` bytes of the sandbox: mostly right, sometimes wrong. */
export function dataForm(dice: Dice, draft: Draft, length: number): Form {
  const usable = Math.min(length, dataBytes);
  if (dice.facts.hasSgl && dice.chance(0.15)) return sglForm(dice, draft, usable);
  if (dice.fault(0.02)) draft.set(Sqe.psdt, 3);
  return prpForm(dice, usable);
}

function prpForm(dice: Dice, length: number): Form {
  const room = dataBytes - length;
  const step = dice.fault(0.05) ? 1 : 4;
  const offset =
    dice.chance(0.3) && room > 0 ? dice.below(Math.min(room, sandboxPage) / step) * step : 0;
  const pages: number[] = [];
  for (let at = sandboxPage; at < offset + length; at += sandboxPage) pages.push(at);
  if (pages.length === 0) {
    const unused = dice.mostly(null, [0, sandboxPage, listAt + 3]);
    return { prp1: offset, prp2: unused, list: null };
  }
  if (pages.length === 1) {
    const wrong = [4, 512, 1].map((bytes) => sandboxPage + bytes);
    return { prp1: offset, prp2: dice.mostly(sandboxPage, wrong, 0.1), list: null };
  }
  const at = dice.mostly(listAt, [listAt + 8, listAt + 512, listAt + 4, listAt + 1], 0.2);
  const shuffled = dice.chance(0.3) ? [...pages].reverse() : pages;
  const entries = shuffled.map((page) => dice.mostly(page, [page + 4, page + 512], 0.04));
  return { prp1: offset, prp2: at, list: { form: 'prp', at, entries } };
}

function sglForm(dice: Dice, draft: Draft, length: number): Form {
  draft.set(Sqe.psdt, Psdt.sgl);
  const offset = dice.chance(0.3) ? dice.below(64) : 0;
  const place = length + offset <= dataBytes ? offset : 0;
  if (dice.chance(0.6)) {
    const type = dice.mostly(SglType.dataBlock, [4, 5, 6, 14, 15], 0.1);
    const described = dice.mostly(length, [length - 1, length - 512, 0], 0.1);
    return one(dice, draft, { place, length: Math.max(0, described), type });
  }
  const first = 512 * dice.below(length / 512 + 1);
  const pieces = [first, length - first].filter((bytes) => bytes > 0);
  let next = place;
  const entries = pieces.map((bytes) => {
    const entry = { place: next, length: bytes, type: SglType.dataBlock, subtype: 0 };
    next += bytes;
    return entry;
  });
  const bytes = dice.mostly(entries.length * sglDescriptorBytes, [0, 8, 17], 0.1);
  const type = dice.mostly(SglType.lastSegment, [SglType.segment], 0.1);
  const list = { form: 'sgl', at: listAt, entries } as const;
  return { ...one(dice, draft, { place: listAt, length: bytes, type }), list };
}

function one(
  dice: Dice,
  draft: Draft,
  entry: { readonly place: number; readonly length: number; readonly type: number },
): Form {
  SglDescriptor.length.set(draft.words, sgl1Dword, entry.length);
  SglDescriptor.type.set(draft.words, sgl1Dword, entry.type);
  SglDescriptor.subtype.set(draft.words, sgl1Dword, dice.mostly(0, [1, 10], 0.03));
  return { prp1: entry.place, prp2: null, list: null };
}
