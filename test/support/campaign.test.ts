import * as assert from 'uvu/assert';
import { campaign, main } from './campaign.js';
import { suite } from './suite.js';

const test = suite('campaigns');

/** Steps are numbers; two of them together violate. */
const broken = campaign<number>({
  claim: 'no plan has both a 3 and a 7',
  plan: (prng) => Array.from({ length: 40 }, () => prng.below(10)),
  run: (steps, _seed, tally) => {
    tally.steps = (tally.steps ?? 0) + steps.length;
    if (!steps.includes(3) || !steps.includes(7)) return null;
    if (steps.includes(5)) throw new Error('three, five and seven');
    return 'three and seven';
  },
});

const sound = campaign<number>({
  claim: 'nothing is ever wrong',
  plan: (prng) => [prng.below(10)],
  run: () => null,
});

/** Run the command line and keep what it prints. */
async function printed(words: readonly string[]): Promise<{ code: number; lines: string[] }> {
  const lines: string[] = [];
  const { log, error } = console;
  console.log = (text: string) => lines.push(...text.split('\n'));
  console.error = console.log;
  try {
    return { code: await main('fuzz', { broken, sound }, words), lines };
  } finally {
    console.log = log;
    console.error = error;
  }
}

test('the seed comes first, the count of violations last, and success is 0', async () => {
  const { code, lines } = await printed(['sound', '17', '--seconds', '0']);
  assert.is(code, 0);
  assert.is(lines[0], 'seed 17');
  assert.is(lines.at(-1), '0 violations');
  assert.match(lines.at(-2)!, /^tried 1 seeds from 17.*; seed 18 goes on from here$/);
});

test('a violation is printed with the fewest steps that still violate, and fails', async () => {
  const { code, lines } = await printed(['broken', '1', '--seconds', '1']);
  assert.is(code, 1);
  assert.is(lines.at(-1), '1 violations');
  const at = lines.findIndex((line) => line.startsWith('plan of 2 (of 40) steps'));
  assert.ok(at > 0);
  assert.equal(lines.slice(at + 1, at + 3).sort(), ['  3', '  7']);
  assert.match(lines[at - 1]!, /^seed 1: three and seven$/);
});

test('one seed gives the same output twice', async () => {
  const once = await printed(['broken', '2', '--seconds', '0']);
  const again = await printed(['broken', '2', '--seconds', '0']);
  const steady = (lines: readonly string[]) => lines.filter((line) => !line.startsWith('tried'));
  assert.equal(steady(again.lines), steady(once.lines));
});

test('an unknown name, a wrong seed and a wrong time are usage errors that list the names', async () => {
  for (const words of [
    [],
    ['none'],
    ['sound', 'x'],
    ['sound', '1', '--seconds', 'x'],
    ['sound', '1', '2'],
  ]) {
    const { code, lines } = await printed(words);
    assert.is(code, 2);
    assert.match(lines[0]!, /broken, sound/);
  }
});

test.run();
