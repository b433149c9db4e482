import { Prng } from '../../sim/prng.js';
import { Gate } from '../sim/ftl/gate.js';
import { narrowDrive, runMixed } from '../sim/ftl/random-drive.js';
import { DriveRig } from '../sim/ftl/rig.js';
import { campaign, type Tally } from '../support/campaign.js';

type Step =
  | { readonly kind: 'fill and mix'; readonly count: number }
  | { readonly kind: 'overwrite'; readonly count: number }
  | { readonly kind: 'power cut'; readonly afterNs: number; readonly isProtected: boolean };

const lives = 4;
/** Writes that the power cut meets. */
const cutWrites = 40;
/** A copy that is in no hurry waits up to so long, one of ten for ever. */
const gateNs = 2_000_000;

/** Full drives that are always short of free blocks, through one life after the other. */
export const stormOfNarrowDrive = campaign<Step>({
  claim: 'a drive with the least room that it may have goes on after power cuts, however it copies',
  plan: (prng) => Array.from({ length: lives }, () => drawLife(prng)).flat(),
  run: (steps, seed, tally) => run(steps, seed, tally),
});

function drawLife(prng: Prng): Step[] {
  return [
    { kind: 'fill and mix', count: 100 + prng.below(500) },
    { kind: 'overwrite', count: 1 + prng.below(500) },
    { kind: 'power cut', afterNs: prng.below(5_000_000), isProtected: prng.chance(0.5) },
  ];
}

function run(steps: readonly Step[], seed: number, tally: Tally): string | null {
  const prng = new Prng(seed, 'geometry');
  const possible = narrowDrive(prng);
  if (possible === null) {
    tally['impossible drives'] = (tally['impossible drives'] ?? 0) + 1;
    return null;
  }
  const rig = new DriveRig(possible.flash, possible.ftl, seed);
  if (prng.chance(0.5)) new Gate(rig, () => (prng.chance(0.1) ? Infinity : prng.below(gateNs)));
  const { drive, world } = rig;
  const write = (): void => drive.write(prng.below(drive.unitCount), 1, 0, 0);
  for (const step of steps) {
    tally[step.kind] = (tally[step.kind] ?? 0) + 1;
    // What is stuck or does not add up, they throw.
    if (step.kind === 'fill and mix') {
      runMixed(rig, prng, step.count);
    } else if (step.kind === 'overwrite') {
      rig.loop(step.count, 16, write);
    } else {
      for (let i = 0; i < cutWrites; i++) write();
      world.advance(step.afterNs);
      drive.powerCut(step.isProtected);
      rig.demandSound();
    }
  }
  tally['units copied'] = (tally['units copied'] ?? 0) + drive.statistics.gcUnits;
  return null;
}
