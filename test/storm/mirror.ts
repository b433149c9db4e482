import { campaign } from '../support/campaign.js';
import { type MirrorStep, stormPlan } from '../support/mirror-plan.js';
import { MirrorStorm } from '../support/mirror-storm.js';

export const stormOfMirror = campaign<MirrorStep>({
  claim:
    'a mirror on 3 to 5 nodes, under everything that can happen to them, is an atomic register ' +
    'per block, loses nothing that was acknowledged, and heals',
  plan: (prng) => stormPlan(prng, 40),
  run: (steps, seed, tally) => new MirrorStorm(seed, tally).run(steps),
});
