import * as assert from 'uvu/assert';
import { SimCard } from '../../sim/card.js';
import { defineProfile } from '../../sim/profiles/index.js';
import type { Profile } from '../../sim/profiles/profile.js';
import { simple } from '../../sim/profiles/simple.js';
import { suite } from '../support/suite.js';
import { CrossBench } from './bench.js';
import { crossCheck, runSequence, shrink } from './cross-check.js';
import { twinProfile } from './facts.js';
import { planSequence } from './plan.js';

const test = suite('cross');
const seed = Number(process.argv[2] ?? 1);
console.log(`seed ${seed}`);

const options = { seed, untilMs: Number.POSITIVE_INFINITY, classOf: () => undefined } as const;
const small = defineProfile(simple, {
  namespaces: [{ ...simple.namespaces[0]!, bytes: 16 * 1024 * 1024 }],
});

test('a twin made from what a card says does what the card does', async () => {
  const left = await bench(small);
  const profile = defineProfile(twinProfile(left.facts), {
    // What a sequence does not ask for, but has: registers and the sizes of things.
    controller: simple.controller,
    subsystem: simple.subsystem,
  });
  const right = await bench(profile);
  const report = await crossCheck({ ...options, left, right, commands: 1000 });
  assert.equal([...report.unlisted.keys()], []);
  assert.ok(report.commands >= 1000);
  assert.ok(report.carriedOut > 300, `${report.carriedOut} were carried out`);
});

test('equal seeds make equal sequences', async () => {
  const { facts } = await bench(small);
  assert.equal(planSequence(seed, facts), planSequence(seed, facts));
  assert.not.equal(planSequence(seed, facts).steps, planSequence(seed + 1, facts).steps);
});

test('a controller that differs is found, and one step is left to show it', async () => {
  const left = await bench(small);
  const right = await bench(defineProfile(small, { controller: { vectors: 9 } }));
  const report = await crossCheck({ ...options, left, right, commands: 1000 });
  const [first] = report.unlisted;
  assert.ok(first !== undefined, 'the difference was not found');
  const [text, { sequence }] = first;
  const few = await shrink({ left, right }, sequence, text, performance.now() + 5_000);
  assert.is(few.steps.length, 1);
});

test('a block that differs is found though every status is the same', async () => {
  const left = await bench(small);
  const right = await bench(small);
  const begin = right.begin.bind(right);
  right.begin = async (value) => {
    await begin(value);
    await right.zeroBlock(3);
  };
  const found = await runSequence({ left, right }, { seed, steps: [], ending: null });
  const blockDwords = 128;
  assert.equal(
    found.map(({ aspect, step, left: at }) => [aspect, step, at]),
    [['data', null, 3 * blockDwords]],
  );
});

function bench(profile: Profile): Promise<CrossBench> {
  return CrossBench.open(new SimCard({ profile }).open());
}

test.run();
