import * as assert from 'uvu/assert';
import { Prng } from '../../../sim/prng.js';
import { stormOfDrive } from '../../storm/drive.js';
import { stormOfNarrowDrive } from '../../storm/drive-narrow.js';
import { suite } from '../../support/suite.js';
import { randomDrive } from './random-drive.js';
import { DriveRig } from './rig.js';

const test = suite('drive storms');

/** Plans of `npm run storm -- drive SEED` that once were violated, and by what. */
const plans: readonly (readonly [seed: number, title: string])[] = [
  [5795, 'a pool without room erases blocks that are void before it waits for those that are not'],
  [41190, 'a write that waits goes on when units of a failed row have moved to another'],
  [28975, 'background collection leaves a pool alone whose blocks are all but full'],
  [3306, 'a short pool fills the rest of its open blocks before it pads them'],
  [31751, 'a spare block whose erase failed replaces no other'],
  [25726, 'a unit that is taken back after a power cut does not come back to an earlier life'],
  [44439, 'units of an abandoned row do not lie where a block has been erased since'],
];

for (const [seed, title] of plans) {
  test(title, async () => {
    const { violation } = await stormOfDrive.explore(seed, 0);
    assert.is(violation, null);
  });
}

/** The same of `npm run storm -- drive-narrow SEED`. */
const narrowPlans: readonly (readonly [seed: number, title: string])[] = [
  [118, 'a pool collects no more blocks than the host needs to go on, while that waits'],
  [58, 'a pool that holds all it may is not collected for the host, whose erase it would keep off'],
  [161, 'rows are not padded while room is on its way, so that each victim gains something'],
];

for (const [seed, title] of narrowPlans) {
  test(title, async () => {
    const { violation } = await stormOfNarrowDrive.explore(seed, 0);
    assert.is(violation, null);
  });
}

test('a drive with less room than its pools need is refused, and makes no load', () => {
  const { flash, ftl } = randomDrive(new Prng(11, 'copies'));
  assert.throws(
    () => new DriveRig(flash, ftl),
    /overProvisioningPermille = 418: must be more than 429/,
  );
});

test.run();
