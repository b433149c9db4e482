import * as assert from 'uvu/assert';
import { Prng } from '../../../sim/prng.js';
import { plants } from '../../support/mirror-plants.js';
import { MirrorStorm, stormPlan } from '../../support/mirror-storm.js';
import { suite } from '../../support/suite.js';

const test = suite('mirror storms');

function storm(seed: number): Promise<string | null> {
  return new MirrorStorm(seed, {}).run(stormPlan(new Prng(seed, 'plan'), 40));
}

test('storms of whole nodes find nothing', async () => {
  for (let seed = 1; seed <= 6; seed++) assert.is(await storm(seed), null, `seed ${seed}`);
});

test('a storm finds it when a write is acknowledged after the first member', async () => {
  const undo = plants.find(({ name }) => name === 'acknowledges after the first member')!.make();
  try {
    assert.is.not(await storm(1), null);
  } finally {
    undo();
  }
});

test.run();
