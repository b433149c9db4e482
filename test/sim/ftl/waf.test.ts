import * as assert from 'uvu/assert';
import {
  effectiveUtilisation,
  fifoMixed,
  fifoUniform,
  greedyScore,
  greedyUniform,
  lambertW,
  separated,
} from '../../../bench/waf-models.js';
import { Prng } from '../../../sim/prng.js';
import { suite } from '../../support/suite.js';
import { DriveRig } from './rig.js';

const test = suite('write amplification');

const near = (actual: number, expected: number, share: number, what: string): void =>
  assert.ok(Math.abs(actual / expected - 1) <= share, `${what}: ${actual}, ${expected} expected`);

test('the models give what is published', () => {
  // Xiang and Kurkoski: user over-provisioning 0.3 gives 2.36.
  near(fifoUniform(1.3), 2.364, 5e-4, 'alpha 1.3');
  for (const x of [-0.36, -0.2, -0.01])
    near(lambertW(x) * Math.exp(lambertW(x)), x, 1e-9, `W ${x}`);
  // Physical over-provisioning against formula, and greedy with b = 256 and 64.
  const rows = [
    [0.07, 7.32, 7.12, 6.6],
    [0.125, 4.18, 4.12, 3.95],
    [0.2, 2.69, 2.67, 2.6],
    [0.28, 1.99, 1.98, 1.94],
  ] as const;
  for (const [op, formula, b256, b64] of rows) {
    near(fifoUniform(1 / (1 - op)), formula, 2e-3, `formula ${op}`);
    near(greedyUniform(1 - op, 256), b256, 2e-3, `b 256, ${op}`);
    near(greedyUniform(1 - op, 64), b64, 2e-3, `b 64, ${op}`);
  }
  const one = [{ writeShare: 1, dataShare: 1 }];
  near(fifoMixed(1.3, one), fifoUniform(1.3), 1e-9, 'one class is uniform');
  near(separated(1.3, one, greedyScore), fifoUniform(1.3), 1e-6, 'one class apart is uniform');
});

/** Marginal write amplification after the fill and one full turn of overwrites. */
function measure(overProvisioningPermille: number, freeBlocks: number): number {
  const seed = 7;
  const rig = new DriveRig(
    {
      channels: 1,
      packagesPerChannel: 1,
      blocksPerPlane: 512,
      pagesPerBlock: 16,
      pageBytes: 16_384,
    },
    {
      overProvisioningPermille,
      separatesRelocated: false,
      gcFreeBlocks: freeBlocks,
      gcIdleFreeBlocks: freeBlocks,
    },
  );
  const { drive } = rig;
  const prng = new Prng(seed, 'overwrites');
  rig.age(1, prng);
  const { statistics, unitCount } = drive;
  const media = statistics.mediaWriteUnits;
  const host = statistics.hostWriteUnits;
  rig.notes = false;
  rig.loop(unitCount * 3, 64, (token) => drive.write(prng.below(unitCount), 1, 0, token));
  rig.demandSound();
  return (statistics.mediaWriteUnits - media) / (statistics.hostWriteUnits - host);
}

for (const freeBlocks of [1, 4]) {
  for (const permille of [70, 125, 200, 231, 280]) {
    test(`greedy at ${permille / 10} % with ${freeBlocks} free blocks is within 1 % of theory`, () => {
      const utilisation = effectiveUtilisation(permille / 1000, 512, freeBlocks + 1);
      const waf = measure(permille, freeBlocks);
      near(waf, greedyUniform(utilisation, 64), 0.01, 'write amplification');
    });
  }
}

test.run();
