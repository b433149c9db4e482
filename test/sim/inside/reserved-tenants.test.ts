import * as assert from 'uvu/assert';
import { agedCard, runInside } from '../../../bench/qos/inside.js';
import { suite } from '../../support/suite.js';

const test = suite('reserved tenants beside writers under garbage collection');

/** A read of 4 KiB: map and firmware 2 us, cells 41.8 us, bus 5.2 us, link and decoding 5 us. */
const readUs = 54;
/** What holds a die and cannot be interrupted: a page of 16 KiB, cells and then four pieces. */
const copyUs = 41.8 + 4 * 5.2;

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
    assert.ok(p99Us[name]! <= copyUs + readUs, `${name}: ${p99Us[name]} us`);
    assert.ok(worstMetPct[name]! >= 99, `${name}: ${worstMetPct[name]} %`);
  }
  assert.ok(p99Us.writes! < 20, `${p99Us.writes} us`);
  // Best effort gives way, and still gets most of what the media can do.
  assert.ok(neighbourUnits > 350_000, `${neighbourUnits} units per second`);
});

test.run();
