import * as assert from 'uvu/assert';
import { UltimaError } from '../../../sdk/errors.js';
import { checkFlashDrive, checkInPlaceDrive } from '../../../sim/ftl/check-drive.js';
import type { FtlProfile } from '../../../sim/ftl/ftl-profile.js';
import type { FlashProfile } from '../../../sim/nand/flash-profile.js';
import { Prng } from '../../../sim/prng.js';
import { suite } from '../../support/suite.js';
import { smallInPlace } from './in-place-rig.js';
import { isPossible, randomDrive, runMixed } from './random-drive.js';
import { DriveRig, smallFlash, smallFtl } from './rig.js';

const test = suite('drive geometries');

test('any geometry that the check lets pass runs mixed load to its end and adds up', () => {
  const seed = 20_260;
  console.log(`seed ${seed}`);
  let refused = 0;
  for (let i = 0; i < 40; i++) {
    const prng = new Prng(seed + i, 'geometry');
    const { flash, ftl } = randomDrive(prng);
    if (!isPossible(flash, ftl)) {
      refused++;
      continue;
    }
    const rig = new DriveRig(flash, ftl, seed + i);
    try {
      runMixed(rig, prng, 400);
    } catch (error) {
      throw new Error(`seed ${seed + i}: ${JSON.stringify({ flash, ftl })}`, { cause: error });
    }
  }
  assert.ok(refused < 30, `${refused} of 40 were impossible`);
});

const mixed: readonly Partial<FtlProfile>[] = [
  { victim: 'greedy' },
  { victim: 'd-choices' },
  { victim: 'greedy', mapCacheBytes: 64 * 1024 },
  { victim: 'd-choices', mapCacheBytes: 64 * 1024 },
];
for (const isAged of [false, true]) {
  for (const ftl of mixed) {
    const name = `${ftl.victim}, ${ftl.mapCacheBytes === undefined ? 'whole' : 'cached'} map`;
    test(`70/30 with garbage collection drains to zero: ${name}${isAged ? ', aged' : ''}`, () => {
      const seed = 9;
      const rig = new DriveRig({}, { ...ftl, overProvisioningPermille: 120 }, seed);
      const prng = new Prng(seed, 'mixed');
      rig.notes = false;
      if (isAged) rig.age(1, prng);
      const { drive } = rig;
      rig.loop(6000, 32, (token) => {
        const unit = prng.below(drive.unitCount);
        if (prng.chance(0.7)) drive.read(unit, 1, token);
        else drive.write(unit, 1, 0, token);
      });
      rig.settle();
      assert.is(drive.inFlight, 0);
      assert.is(drive.flash.ops.inUse, 0);
      rig.demandSound();
    });
  }
}

const flashFaults: readonly [Partial<FlashProfile>, string][] = [
  [{ bus: 'sdr' }, 'flash.bus'],
  [{ pageOrder: 'backwards' }, 'flash.pageOrder'],
  [{ pageBytes: 6000 }, 'flash.pageBytes'],
  [{ pagesPerProgram: 3 }, 'flash.pagesPerBlock'],
  [{ blocksPerPlane: 4 }, 'flash.blocksPerPlane'],
  [{ blocksPerPlane: 65_536, pagesPerBlock: 16_384 }, 'flash.blocksPerPlane'],
];
for (const [changes, field] of flashFaults) {
  test(`${JSON.stringify(changes)} is refused by the name of ${field}`, () => {
    const check = (): void => checkFlashDrive({ ...smallFlash, ...changes }, smallFtl);
    assert.throws(check, (error: unknown) => isRefusal(error, field));
  });
}

const ftlFaults: readonly [Partial<FtlProfile>, string][] = [
  [{ overProvisioningPermille: 0 }, 'ftl.overProvisioningPermille'],
  [{ overProvisioningPermille: 20 }, 'ftl.overProvisioningPermille'],
  [{ victim: 'luck' }, 'ftl.victim'],
  [{ gcFreeBlocks: 4, gcIdleFreeBlocks: 3 }, 'ftl.gcIdleFreeBlocks'],
  [{ spareBlocks: 60 }, 'flash.blocksPerPlane'],
  [{ mapCacheBytes: 4096 }, 'ftl.mapCacheBytes'],
];
for (const [changes, field] of ftlFaults) {
  test(`${JSON.stringify(changes)} is refused by the name of ${field}`, () => {
    const check = (): void => checkFlashDrive(smallFlash, { ...smallFtl, ...changes }, 'x.');
    assert.throws(check, (error: unknown) => isRefusal(error, `x.${field}`));
  });
}

test('an in-place drive whose dies make no whole stripes is refused', () => {
  const check = (): void => checkInPlaceDrive({ ...smallInPlace, stripeDies: 3 });
  assert.throws(check, (error: unknown) => isRefusal(error, 'inPlace.stripeDies'));
});

function isRefusal(error: unknown, field: string): boolean {
  if (!(error instanceof UltimaError)) throw error;
  assert.is(error.code, 'PROFILE_INVALID');
  assert.is(error.facts.field, field);
  return true;
}

test.run();
