import * as assert from 'uvu/assert';
import { stormOfDrive } from '../../storm/drive.js';
import { suite } from '../../support/suite.js';

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

test.run();
