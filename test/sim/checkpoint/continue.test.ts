import * as assert from 'uvu/assert';
import { forkCard, saveCard } from '../../../sim/checkpoint/checkpoint.js';
import { openSimulated } from '../../../sim/open.js';
import { Prng } from '../../../sim/prng.js';
import { suite } from '../../support/suite.js';
import { checkpointCards, WildHost } from './wild-host.js';

/**
 * run(0..T) = restore(run(0..k)) + run(k..T) for random k: the same events to the last, the same
 * time, and at the end the same state to the last byte.
 */
const test = suite('a restored run');
const steps = 110;
/** `npm run storm -- checkpoint` goes on with others. */
const seeds = 1;

for (const address of checkpointCards) {
  test(`goes on as the one that was saved, from anywhere: ${address}`, () => {
    console.log(`seeds 1..${seeds}`);
    for (let seed = 1; seed <= seeds; seed++) {
      const whole = WildHost.on(openSimulated(`${address}&seed=${seed}`), seed);
      let moved = WildHost.on(openSimulated(`${address}&seed=${seed}`), seed);
      const prng = new Prng(seed, 'cuts');
      for (let at = 0; at < steps; ) {
        const next = Math.min(steps, at + 1 + prng.below(15));
        whole.run(at, next);
        moved.run(at, next);
        at = next;
        moved = moved.movedTo(forkCard(moved.host.card));
        assert.equal(endOf(moved), endOf(whole), `seed ${seed} cut at step ${at}`);
      }
      const last = Buffer.compare(saveCard(whole.host.card), saveCard(moved.host.card));
      assert.is(last, 0, `seed ${seed}: the last state`);
      assert.ok(whole.host.card.world.eventCount > 100, 'a run in which nothing happens');
    }
  });
}

function endOf({ host }: WildHost): object {
  const { eventHash, eventCount, nowNs, pendingCount } = host.card.world;
  return { eventHash, eventCount, nowNs, pendingCount, inFlight: host.inFlight.size };
}

test.run();
