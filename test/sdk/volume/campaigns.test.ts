import * as assert from 'uvu/assert';
import { campaignOfVolumes } from '../../fuzz/volume.js';
import { stormOfProtectedCrash, stormOfVolumeCrash } from '../../storm/volume-crash.js';
import { suite } from '../../support/suite.js';

const test = suite('volume campaigns');

test('power cuts at every device I/O of the first workloads leave what the model says', async () => {
  const { violation, tally } = await stormOfVolumeCrash.explore(0, performance.now() + 400);
  assert.is(violation, null);
  assert.ok(tally.images! > 20);
});

test('a write with FUA in place is there after every power cut behind it', async () => {
  // Workload 207 of the list: an overwrite with FUA of cells that one before has made its own.
  const { violation } = await stormOfVolumeCrash.explore(207, 0);
  assert.is(violation, null);
});

test('a pool that takes in more space is cut off with it or without it, never in between', async () => {
  // A larger device and one more device alone, then each with a write to what is new, and a flush.
  for (const seed of [13, 14, 29, 2278]) {
    const { violation, tally } = await stormOfVolumeCrash.explore(seed, 0);
    assert.is(violation, null);
    assert.ok(tally.images! > 5);
  }
});

test('a random workload survives its power cuts, too', async () => {
  const { violation } = await stormOfVolumeCrash.explore(70_001, 0);
  assert.is(violation, null);
});

test('on devices that compare their blocks a pool survives its power cuts, too', async () => {
  // An overwrite with FUA in place.
  const { violation, tally } = await stormOfProtectedCrash.explore(207, 0);
  assert.is(violation, null);
  assert.is(tally.guarded, 1);
});

test('a quarter of the longer workloads runs on such devices', async () => {
  const { violation, tally } = await stormOfVolumeCrash.explore(70_009, 0);
  assert.is(violation, null);
  assert.is(tally.guarded, 1);
});

test('a few hundred random operations agree with the naive model', async () => {
  const { violation, tally } = await campaignOfVolumes.explore(1, performance.now() + 300);
  assert.is(violation, null);
  assert.ok(tally.requests! > 500);
});

test.run();
