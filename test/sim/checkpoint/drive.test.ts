import * as assert from 'uvu/assert';
import { ByteReader } from '../../../sim/checkpoint/bytes.js';
import { constructionOf } from '../../../sim/checkpoint/constants.js';
import { GraphReader } from '../../../sim/checkpoint/graph-reader.js';
import { GraphWriter } from '../../../sim/checkpoint/graph-writer.js';
import type { FtlProfile } from '../../../sim/ftl/ftl-profile.js';
import type { FlashProfile } from '../../../sim/nand/flash-profile.js';
import { Prng } from '../../../sim/prng.js';
import { suite } from '../../support/suite.js';
import { DriveRig } from '../ftl/rig.js';

/** The same for a drive alone: map, victims, rows that fill, operations under way, wear. */
const test = suite('a restored drive');
const bursts = 60;

interface Shape {
  readonly name: string;
  readonly flash: Partial<FlashProfile>;
  readonly ftl: Partial<FtlProfile>;
}

const shapes: readonly Shape[] = [
  { name: 'greedy', flash: {}, ftl: {} },
  {
    name: 'cost-benefit, many planes',
    flash: { planesPerDie: 2 },
    ftl: { victim: 'cost-benefit' },
  },
];

function burst(rig: DriveRig, number: number): void {
  const prng = new Prng(7, `burst ${number}`);
  const { drive, world } = rig;
  for (let i = 0; i < 150; i++) {
    const unit = prng.below(drive.unitCount - 16);
    const kind = prng.below(20);
    if (kind < 12) drive.write(unit, 1 + prng.below(16), 0, i);
    else if (kind < 18) drive.read(unit, 1 + prng.below(4), i);
    else if (kind === 18) drive.trim(unit, 1 + prng.below(4));
    else drive.flush(-i - 1);
  }
  world.advance(prng.below(60_000_000));
  if (prng.chance(0.03)) drive.powerCut(prng.chance(0.5));
}

function stateOf(rig: DriveRig, make: () => DriveRig): Uint8Array {
  const like = constructionOf(rootOf(make()), rootOf(make()));
  return new GraphWriter(like).write(rootOf(rig)).slice();
}

function moved(rig: DriveRig, make: () => DriveRig): DriveRig {
  const fresh = make();
  const bytes = new ByteReader(stateOf(rig, make));
  new GraphReader(bytes, constructionOf(rootOf(fresh), rootOf(make()))).read();
  return fresh;
}

function rootOf({ world, drive }: DriveRig): readonly object[] {
  return [world, drive];
}

for (const { name, flash, ftl } of shapes) {
  test(`goes on as the one that was saved: ${name}`, () => {
    const make = (): DriveRig => {
      const rig = new DriveRig(flash, ftl, 3);
      rig.notes = false;
      return rig;
    };
    const whole = make();
    let other = make();
    const prng = new Prng(5, 'cuts');
    for (let at = 0; at < bursts; at++) {
      burst(whole, at);
      burst(other, at);
      if (prng.chance(0.3)) other = moved(other, make);
      assert.is(other.world.eventHash, whole.world.eventHash, `burst ${at}`);
    }
    assert.is(Buffer.compare(stateOf(other, make), stateOf(whole, make)), 0);
    assert.ok(whole.drive.statistics.gcUnits > 0, 'no garbage was collected');
    assert.equal(other.drive.statistics, whole.drive.statistics);
  });
}

test.run();
