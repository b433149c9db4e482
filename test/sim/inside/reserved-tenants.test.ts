import * as assert from 'uvu/assert';
import { agedCard, runInside } from '../../../bench/qos/inside.js';
import { suite } from '../../support/suite.js';

const test = suite('reserved tenants beside writers under garbage collection');

/** A read of 4 KiB: map and firmware 2 us, cells 41.8 us, bus 5.2 us, link and decoding 5 us. */
const readUs = 54;
/** What a reserved read waits for at a die at most: an erase stops, or four pieces of a page go. */
const stopUs = 50;

const turns = 0.15;

test.before(async () => {
  await agedCard(turns);
});

test('a reserved read waits for one unit of work at a die, a reserved write for no medium', async () => {
  const { p99Us, worstMetPct, writtenPerHost, neighbourUnits } = await runInside(
    'write4K',
    { kind: 'card' },
    { windows: 1, turns },
  );
  assert.ok(writtenPerHost > 1.5, 'no garbage is collected');
  for (const name of ['poisson', 'steady', 'single']) {
    assert.ok(p99Us[name]! <= stopUs + readUs, `${name}: ${p99Us[name]} us`);
    assert.ok(worstMetPct[name]! >= 99, `${name}: ${worstMetPct[name]} %`);
  }
  assert.ok(p99Us.writes! < 20, `${p99Us.writes} us`);
  // Best effort gives way, and still gets most of what the media can do.
  assert.ok(neighbourUnits > 850_000, `${neighbourUnits} writes per second of others`);
});

test.run();
