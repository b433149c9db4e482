import { Prng } from '../../sim/prng.js';
import { isPossible, randomDrive } from '../sim/ftl/random-drive.js';
import { DriveRig } from '../sim/ftl/rig.js';
import { campaign, type Tally } from '../support/campaign.js';

type Step =
  | {
      readonly kind: 'read' | 'reserved read' | 'trim';
      readonly at: number;
      readonly count: number;
    }
  | { readonly kind: 'write'; readonly at: number; readonly count: number; readonly stream: number }
  | { readonly kind: 'fill' | 'flush' | 'erase all' }
  | { readonly kind: 'wait'; readonly ns: number }
  | { readonly kind: 'power cut'; readonly isProtected: boolean }
  | { readonly kind: 'fail program' | 'fail erase'; readonly die: number };

const stepCount = 600;
const limitSteps = 200_000;

/** Drives of random geometry under load, power cuts and failures of the flash. */
export const stormOfDrive = campaign<Step>({
  claim: 'a flash drive of any geometry ends every request, and a recount agrees with its counters',
  plan: (prng) => [{ kind: 'fill' }, ...Array.from({ length: stepCount }, () => draw(prng))],
  run: (steps, seed, tally) => run(steps, seed, tally),
});

function draw(prng: Prng): Step {
  const at = prng.unit();
  const count = 1 + prng.below(12);
  const dice = prng.unit();
  if (dice < 0.2) return { kind: 'read', at, count };
  if (dice < 0.3) return { kind: 'reserved read', at, count };
  if (dice < 0.8) return { kind: 'write', at, count, stream: prng.below(4) };
  if (dice < 0.84) return { kind: 'trim', at, count };
  if (dice < 0.87) return { kind: 'flush' };
  if (dice < 0.98) return { kind: 'wait', ns: prng.below(3_000_000) };
  if (dice < 0.99) return { kind: 'power cut', isProtected: prng.chance(0.5) };
  if (dice < 0.991) return { kind: 'erase all' };
  return { kind: prng.chance(0.5) ? 'fail program' : 'fail erase', die: prng.below(8) };
}

function run(steps: readonly Step[], seed: number, tally: Tally): string | null {
  const { flash, ftl } = randomDrive(new Prng(seed, 'geometry'));
  if (!isPossible(flash, ftl)) {
    tally['impossible drives'] = (tally['impossible drives'] ?? 0) + 1;
    return null;
  }
  const rig = new DriveRig(flash, ftl, seed);
  rig.notes = false;
  const { drive } = rig;
  let asked = 0;
  let ended = 0;
  rig.onDone = () => {
    ended++;
  };
  for (const step of steps) {
    tally[step.kind] = (tally[step.kind] ?? 0) + 1;
    if (step.kind === 'power cut' || step.kind === 'erase all') {
      const fault = step.kind === 'erase all' ? settle(rig) : null;
      if (fault !== null) return fault;
      if (step.kind === 'power cut') rig.drive.powerCut(step.isProtected);
      else rig.drive.eraseAll(0);
      asked = ended + rig.drive.inFlight;
    } else if (rig.drive.inFlight < 64 || step.kind === 'wait') {
      asked += apply(rig, step);
    }
    if (step.kind === 'erase all') {
      const fault = settle(rig);
      if (fault !== null) return fault;
    }
  }
  const fault = settle(rig);
  if (fault !== null) return fault;
  tally['pages scanned'] = (tally['pages scanned'] ?? 0) + drive.statistics.scannedPages;
  // The flush of `settle` ends, too.
  return asked > ended ? `${asked} requests, ${ended} ended` : null;
}

/** @returns requests that were made */
function apply(rig: DriveRig, step: Step): number {
  const { drive, world } = rig;
  if (step.kind === 'fill') {
    for (let unit = 0; unit < drive.unitCount; unit++) drive.write(unit, 1, 0, 0);
    return drive.unitCount;
  }
  if (step.kind === 'wait') world.advance(step.ns);
  else if (step.kind === 'flush') drive.flush(0);
  else if (step.kind === 'fail program') drive.failPrograms(step.die % drive.dieCount, 1);
  else if (step.kind === 'fail erase') drive.failErases(step.die % drive.dieCount, 1);
  else if ('at' in step) {
    const count = Math.min(step.count, drive.unitCount);
    const unit = Math.floor(step.at * (drive.unitCount - count + 1));
    if (step.kind === 'read') drive.read(unit, count, 0);
    else if (step.kind === 'reserved read') drive.read(unit, count, 0, true);
    else if (step.kind === 'trim') drive.trim(unit, count);
    else if (step.kind === 'write') drive.write(unit, count, step.stream % drive.streamCount, 0);
    return step.kind === 'trim' ? 0 : 1;
  }
  return step.kind === 'flush' ? 1 : 0;
}

/** Until nothing happens any more. @returns what is wrong then */
function settle(rig: DriveRig): string | null {
  const { drive, world } = rig;
  drive.flush(0);
  for (let i = 0; world.pendingCount > 0; i++) {
    if (i > limitSteps) return 'the drive never comes to rest';
    world.advance(10_000_000);
  }
  if (drive.inFlight > 0) return `${drive.inFlight} requests are stuck`;
  const faults = drive.audit();
  return faults.length === 0 ? null : faults.slice(0, 5).join('; ');
}
