import * as assert from 'uvu/assert';
import { Prng } from '../../../sim/prng.js';
import { type Plant, plants } from '../../support/mirror-plants.js';
import { MirrorStorm, stormPlan } from '../../support/mirror-storm.js';
import { suite } from '../../support/suite.js';

const test = suite('mirror storms');

function storm(seed: number): Promise<string | null> {
  return new MirrorStorm(seed, {}).run(stormPlan(new Prng(seed, 'plan'), 40));
}

test('storms of whole nodes find nothing', async () => {
  for (let seed = 1; seed <= 4; seed++) assert.is(await storm(seed), null, `seed ${seed}`);
});

async function isFound(plant: Plant, seeds: number): Promise<boolean> {
  const undo = plant.make();
  try {
    for (let seed = 1; seed <= seeds; seed++) if ((await storm(seed)) !== null) return true;
    return false;
  } finally {
    undo();
  }
}

for (const plant of plants.filter(({ isRare }) => !isRare)) {
  test(`a storm finds it when ${plant.name}`, async () => {
    assert.ok(await isFound(plant, 40));
  });
}

test.run();
