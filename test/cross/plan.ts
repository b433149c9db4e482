import { Aqa, Cc } from '../../sdk/spec/nvme/registers.js';
import { Prng } from '../../sim/prng.js';
import { adminStep } from './admin-steps.js';
import { Dice } from './dice.js';
import type { Facts } from './facts.js';
import { ioStep } from './io-steps.js';
import type { Ending, RegisterStep, Sequence, Step } from './step.js';

const stepsPerSequence = 40;

/** The sequence of a seed: equal for equal seeds and facts. */
export function planSequence(seed: number, facts: Facts): Sequence {
  const dice = new Dice(new Prng(seed, 'cross'), facts);
  const steps = Array.from({ length: stepsPerSequence }, (): Step => {
    dice.fresh();
    const kind = dice.below(100);
    if (kind < 2) return { kind: 'event' };
    if (kind < 6) return registerStep(dice);
    return kind < 56 ? ioStep(dice) : adminStep(dice);
  });
  return { seed, steps, ending: dice.chance(0.5) ? ending(dice) : null };
}

/** Registers whose value is the same everywhere in the same state; writes that change nothing. */
function registerStep(dice: Dice): RegisterStep {
  const name = dice.pick(['cc', 'csts', 'aqa', 'nssr', 'cmbsz', 'cmbloc', 'bpinfo'] as const);
  if (dice.chance(0.7)) return { kind: 'register', name, write: null };
  const readOnly = dice.pick(['csts', 'cmbsz', 'bpinfo'] as const);
  // Bits of CSTS that a one clears are left alone.
  return { kind: 'register', name: readOnly, write: dice.pick([0, 1, 2]) };
}

function ending(dice: Dice): Ending {
  const kind = dice.below(10);
  if (kind < 6) return doorbell(dice);
  if (kind < 8) return { kind: 'shutdown', how: dice.pick(['normal', 'abrupt']) };
  return start(dice);
}

function doorbell(dice: Dice): Ending {
  // Queues that surely are, with values beyond their ends, and queues that surely are not.
  const queue = dice.pick([0, 1, 1, 1, 9, dice.facts.queuePairs - 1]);
  const value = dice.pick([33, 100, 0xffff]);
  return { kind: 'doorbell', side: dice.pick(['submission', 'completion']), queue, value };
}

function start(dice: Dice): Ending {
  const right = Cc.iocqes.put(Cc.iosqes.put(Cc.en.put(0, 1), 6), 4);
  const aqa = Aqa.acqs.put(Aqa.asqs.put(0, 16), 16);
  const choices = [
    { cc: Cc.mps.put(right, 15), aqa },
    { cc: Cc.mps.put(right, 5), aqa },
    { cc: Cc.css.put(right, 3), aqa },
    { cc: Cc.ams.put(right, 1), aqa },
    { cc: Cc.ams.put(right, 5), aqa },
    { cc: Cc.iosqes.put(right, 0), aqa },
    { cc: Cc.iocqes.put(right, 0), aqa },
    { cc: right, aqa: Aqa.asqs.put(aqa, 1) },
    { cc: right, aqa: Aqa.acqs.put(aqa, 1) },
    { cc: right, aqa: Aqa.acqs.put(aqa, 4096) },
    { cc: right, aqa },
  ];
  return { kind: 'start', ...dice.pick(choices) };
}
