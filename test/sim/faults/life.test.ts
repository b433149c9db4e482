import * as assert from 'uvu/assert';
import { type FaultKind, faultKindNames, ruleOf } from '../../../sdk/faults/kinds.js';
import type { FaultSpec } from '../../../sdk/faults/plan.js';
import { suite } from '../../support/suite.js';
import { type Life, live } from './life.js';

/**
 * Every fault at every command of a driver's life, once and for ever. What always holds: each
 * request ends by name and in time, and what is read is what was written.
 */
const test = suite('faults in a life');

const forEver = 1_000_000;

/** What a kind needs besides its defaults. */
const own: Partial<Record<FaultKind, Partial<FaultSpec>>> = {
  'latency spike': { addNs: 60_000_000 },
  'power cut': { restoreAfterNs: 50_000 },
  'link down': { upAfterNs: 50_000 },
  'thermal throttling': { forNs: 50_000 },
  'slow die': { addNs: 2_000_000 },
};

async function strike(kind: FaultKind, first: number, count: number): Promise<Life> {
  const life = await live({
    faults: [{ kind, ...own[kind], when: { command: { first } }, count }],
  });
  const { wrong } = life;
  const times = count === 1 ? 'once' : 'from there on';
  assert.equal(wrong, [], `${kind} at command ${first}, ${times}: ${wrong.join('; ')}`);
  return life;
}

async function undisturbed(): Promise<Life> {
  const when = { command: { first: forEver } };
  return live({ faults: [{ kind: 'spurious interrupt', when }] });
}

test('a plan that never strikes disturbs nobody and counts the commands', async () => {
  const { card, code, ends, wrong } = await undisturbed();
  assert.equal(wrong, []);
  assert.is(code, '');
  // Eight writes, a flush, eight reads, and four of the second driver.
  assert.equal([...ends], [['completed', 21]]);
  assert.ok(card.faultOutcomes[0]!.matched > 50);
  assert.is(card.faultOutcomes[0]!.struck, 0);
});

for (const kind of faultKindNames) {
  test(`${kind}: at any command, once or for ever, all ends by name and no data is wrong`, async () => {
    const total = (await undisturbed()).card.faultOutcomes[0]!.matched;
    let struck = 0;
    // A life with flash costs ten times as much, and a drive's faults know no commands.
    const stride = ruleOf(kind).needsDrive === true ? 34 : 1;
    for (let first = 1; first <= total; first += stride) {
      struck += (await strike(kind, first, 1)).card.faultOutcomes[0]!.struck;
      if (first % 13 === 1) await strike(kind, first, forEver);
    }
    assert.ok(struck > 0, 'it never struck');
  });
}

test.run();
