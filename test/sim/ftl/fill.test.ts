import * as assert from 'uvu/assert';
import type { DriveListener } from '../../../sim/ftl/drive.js';
import { FlashDrive } from '../../../sim/ftl/flash-drive.js';
import { Prng } from '../../../sim/prng.js';
import { World } from '../../../sim/world.js';
import { suite } from '../../support/suite.js';
import { plainInside } from '../inside/inside-rig.js';

const test = suite('a drive that was filled');
const flash = plainInside.flash!;
const ftl = { ...plainInside.ftl!, overProvisioningPermille: 200, gcFreeBlocks: 3 };

class Counter implements DriveListener {
  done = 0;
  driveDone(): void {
    this.done++;
  }
  driveChanged(): void {}
  mapRead(): boolean {
    return false;
  }
}

function make(changes: Partial<typeof flash> = {}) {
  const world = new World();
  const listener = new Counter();
  const medium = { flash: { ...flash, blocksPerPlane: 48, ...changes }, ftl };
  const drive = new FlashDrive({ ...medium, world, listener, name: 'filled' });
  return { world, listener, drive };
}

/** Run until nothing is due any more. */
function drain(world: World): void {
  while (world.pendingCount > 0) world.advance(1_000_000);
}

test('every unit has a place of its own, and the place says which unit it holds', () => {
  for (const changes of [{}, { planesPerDie: 2, hasMultiPlane: true }, { factoryBadPpm: 60_000 }]) {
    const { drive } = make(changes);
    drive.fill();
    assert.is(drive.map.mappedCount, drive.unitCount);
    const places = new Set<number>();
    for (let unit = 0; unit < drive.unitCount; unit++) {
      const physical = drive.map.find(unit) - 1;
      places.add(physical);
      assert.is(drive.map.unitAt(physical), unit);
    }
    assert.is(places.size, drive.unitCount);
    assert.equal(drive.audit(), []);
  }
});

test('neighbouring rows lie on different dies', () => {
  const { drive } = make();
  drive.fill();
  const poolOf = (unit: number): number =>
    drive.blocks.poolOf(drive.map.blockOf(drive.map.find(unit) - 1));
  assert.is.not(poolOf(0), poolOf(drive.rowUnits));
  assert.is(poolOf(0), poolOf(drive.rowUnits - 1));
});

test('reads of it cost flash time, and overwriting all of it collects garbage and adds up', () => {
  const { world, listener, drive } = make();
  drive.fill();
  drive.read(drive.unitCount - 1, 1, 0);
  drain(world);
  assert.ok(world.nowNs >= flash.pageTypes[0]!.readNs);
  const seed = 77;
  console.log(`seed ${seed}`);
  const prng = new Prng(seed, 'fill');
  const writes = drive.unitCount;
  for (let i = 0; i < writes; i++) {
    drive.write(prng.below(drive.unitCount), 1, 0, 1);
    if (i % 64 === 0) drain(world);
  }
  drive.flush(2);
  drain(world);
  assert.is(listener.done, 1 + writes + 1);
  assert.ok(drive.statistics.gcUnits > 0);
  assert.equal(drive.audit(), []);
});

test('a drive that was written is not filled', () => {
  const { world, drive } = make();
  drive.write(0, 1, 0, 0);
  drive.flush(1);
  drain(world);
  assert.throws(() => drive.fill());
});

test.run();
