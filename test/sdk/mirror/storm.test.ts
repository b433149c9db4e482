import * as assert from 'uvu/assert';
import { Prng } from '../../../sim/prng.js';
import { stormPlan } from '../../support/mirror-plan.js';
import { plants } from '../../support/mirror-plants.js';
import { MirrorStorm } from '../../support/mirror-storm.js';
import { suite } from '../../support/suite.js';

const test = suite('mirror storms');

function storm(seed: number): Promise<string | null> {
  return new MirrorStorm(seed, {}).run(stormPlan(new Prng(seed, 'plan'), 40));
}

for (const { name, seed, make } of plants) {
  test(`a storm finds it when ${name}`, async () => {
    assert.is(await storm(seed), null, `seed ${seed} without the mistake`);
    const undo = make();
    try {
      assert.ok((await storm(seed)) !== null, `seed ${seed}`);
    } finally {
      undo();
    }
  });
}

test.run();
