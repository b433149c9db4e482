import { corruptFields, type FaultKind, faultKindNames } from '../../sdk/faults/kinds.js';
import type { CommandMatch, FaultMoment, FaultSpec } from '../../sdk/faults/plan.js';
import type { Prng } from '../../sim/prng.js';
import { live } from '../sim/faults/life.js';
import { type Campaign, campaign } from '../support/campaign.js';

const storm: Campaign<FaultSpec> = {
  claim:
    'a driver under random fault plans: each request ends by name and in time, no data is taken ' +
    'for right that is wrong, and the card has nothing against the driver',
  plan: (prng) => Array.from({ length: 1 + prng.below(4) }, () => someFault(prng)),
  run: async (faults, seed, tally) => {
    const { wrong, ends, card } = await live({ seed, faults });
    for (const [outcome, count] of ends) tally[outcome] = (tally[outcome] ?? 0) + count;
    for (const { kind, struck } of card.faultOutcomes) {
      if (struck > 0) tally[kind] = (tally[kind] ?? 0) + struck;
    }
    return wrong.length === 0 ? null : wrong.join('; ');
  },
};

export const stormOfFaults = campaign(storm);

/** What an undisturbed life has: about so many commands, events and nanoseconds. */
const span = { commands: 60, events: 400, ns: 2_000_000 } as const;

function someFault(prng: Prng): FaultSpec {
  const kind = faultKindNames[prng.below(faultKindNames.length)]!;
  const isTimed = !atCommands.includes(kind) && prng.chance(0.5);
  const when = isTimed ? someMoment(prng) : { command: someMatch(prng) };
  const count = isTimed || prng.chance(0.6) ? 1 : 1 + prng.below(20);
  return { kind, when, count, ...fieldsOf(kind, prng) };
}

const atCommands: readonly FaultKind[] = [
  'latency spike',
  'stuck command',
  'write fault',
  'lost completion',
  'doubled completion',
  'corrupted completion',
  'lost interrupt',
  'poisoned TLP',
  'aborted TLP',
];

function someMoment(prng: Prng): FaultMoment {
  if (prng.chance(0.5)) return { event: prng.below(span.events) };
  return { atNs: prng.below(span.ns) };
}

function someMatch(prng: Prng): CommandMatch {
  const opcodes = ['read', 'write', 'flush', 'identify', 'createSubmissionQueue', 'setFeatures'];
  return {
    ...(prng.chance(0.4) ? { opcode: opcodes[prng.below(opcodes.length)]! } : {}),
    ...(prng.chance(0.2) ? { queue: prng.below(2) } : {}),
    ...(prng.chance(0.2) ? { lba: prng.below(4) } : {}),
    first: 1 + prng.below(span.commands),
    every: 1 + prng.below(4),
    ...(prng.chance(0.3) ? { probability: 0.5 } : {}),
  };
}

function fieldsOf(kind: FaultKind, prng: Prng): Partial<FaultSpec> {
  switch (kind) {
    case 'power cut':
      return {
        isProtected: prng.chance(0.5),
        ...(prng.chance(0.9) ? { restoreAfterNs: prng.below(100_000) } : {}),
      };
    case 'link down':
      return prng.chance(0.9) ? { upAfterNs: prng.below(100_000) } : {};
    case 'media error':
    case 'silent corruption':
      return { lba: prng.below(4) };
    case 'latency spike':
      return { addNs: prng.below(80_000_000) };
    case 'stuck command':
      return { ignoresAbort: prng.chance(0.3) };
    case 'slow die':
      return { addNs: prng.below(80_000_000) };
    case 'program failure':
    case 'erase failure':
    case 'growing bad blocks':
      return { operations: 1 + prng.below(3) };
    case 'corrupted completion':
      return { field: corruptFields[prng.below(corruptFields.length)]! };
    case 'spurious interrupt':
      return { vector: prng.below(3) };
    default:
      return {};
  }
}
