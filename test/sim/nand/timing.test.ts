import * as assert from 'uvu/assert';
import type { FlashProfile } from '../../../sim/nand/flash-profile.js';
import { mqsimFlash, mqsimFtl } from '../../../sim/profiles/mqsim-media.js';
import { suite } from '../../support/suite.js';
import { DriveRig } from '../ftl/rig.js';

const test = suite('flash timing');

const small: Partial<FlashProfile> = { ...mqsimFlash, blocksPerPlane: 64, pagesPerBlock: 32 };
const flashOf = (changes: Partial<FlashProfile>): Partial<FlashProfile> => ({
  ...small,
  ...changes,
});

/** A drive with one written unit. */
function rigOf(changes: Partial<FlashProfile>, units = 1): DriveRig {
  const ftl = { ...mqsimFtl, gcFreeBlocks: 1, gcIdleFreeBlocks: 1, overProvisioningPermille: 200 };
  const rig = new DriveRig(flashOf(changes), ftl);
  rig.drive.write(0, units, 0, 0);
  rig.drive.flush(1);
  rig.settle();
  return rig;
}

/** Nanoseconds from the call to the end of a read of unit 0 on an idle drive. */
function readNs(rig: DriveRig, count = 1): number {
  const start = rig.world.nowNs;
  rig.drive.read(0, count, 9);
  rig.settle();
  return rig.ended.at(-1)!.atNs - start;
}

// MQSim's closed form without its PCIe part of 1,298 ns: tR + 290 + 30 + data.
const fixedNs = 75_000 + 290 + 30;

test('a quantised bus reads 4 KiB as MQSim does, at every rate of its table', () => {
  const expected = [
    [200, 10],
    [333, 6],
    [400, 4],
    [533, 2],
    [800, 2],
    [1000, 2],
    [1001, 0],
    [2400, 0],
  ] as const;
  for (const [rate, perTwoTransfers] of expected) {
    const rig = rigOf({ busMegatransfers: rate, isBusQuantised: true });
    assert.is(readNs(rig), fixedNs + 2048 * perTwoTransfers, `${rate} MT/s`);
  }
});

test('a bus as it is reads 4 KiB in 4,096,000 / rate ns and falls with every rate', () => {
  const rates = [333, 400, 800, 1000, 1200, 2400];
  const times = rates.map((rate) => readNs(rigOf({ busMegatransfers: rate })));
  times.forEach((ns, index) => {
    const exact = fixedNs + 4_096_000 / rates[index]!;
    assert.ok(Math.abs(ns - exact) < 1, `${rates[index]} MT/s: ${ns}, ${exact} expected`);
    if (index > 0) assert.ok(ns < times[index - 1]!, 'a faster bus is faster');
  });
});

test('what whole nanoseconds leave over is not lost: 333 transfers take their exact time', () => {
  const rig = rigOf({ busMegatransfers: 333 });
  let sum = 0;
  for (let i = 0; i < 333; i++) sum += readNs(rig) - fixedNs;
  // The write before took a part of a nanosecond of the channel, too.
  assert.ok(Math.abs(sum - 4_096_000) <= 1, `${sum} ns`);
});

test('a program takes 361 ns of command, its data and tPROG', () => {
  const rig = new DriveRig(flashOf({ busMegatransfers: 400 }), { gcFreeBlocks: 1 });
  rig.drive.write(0, 2, 0, 0);
  rig.settle();
  assert.is(rig.ended[0]!.atNs, 361 + 8192 * 2.5 + 750_000);
});

test('an erase takes 220 ns of command and tBERS', () => {
  const rig = rigOf({});
  const start = rig.world.nowNs;
  rig.drive.eraseAll(5);
  rig.settle();
  // Each die erases its 2 × 64 blocks one after the other; four commands share a channel at first.
  const ns = rig.ended.at(-1)!.atNs - start;
  const blocks = 2 * 64;
  assert.ok(ns >= blocks * (220 + 3_800_000), `${ns}`);
  assert.ok(ns <= blocks * (220 + 3_800_000) + 8 * 220 * blocks, `${ns}`);
});

test('each plane after the first costs 650 ns of command', () => {
  const one = rigOf({ hasMultiPlane: false, busMegatransfers: 400 });
  const two = rigOf({ hasMultiPlane: true, busMegatransfers: 400 }, 4);
  assert.is(readNs(one), fixedNs + 4096 * 2.5);
  // Pages of two planes in one array time; the second follows the first on the bus.
  assert.is(readNs(two, 4), fixedNs + 650 + 30 + 16_384 * 2.5);
});

test('page types follow each other, and a paired order is that of a TLC block of MQSim', () => {
  const types = [
    { readNs: 10_000, programNs: 100_000 },
    { readNs: 20_000, programNs: 200_000 },
    { readNs: 30_000, programNs: 300_000 },
  ];
  const one = {
    channels: 1,
    packagesPerChannel: 1,
    diesPerPackage: 1,
    planesPerDie: 1,
    pageBytes: 4096,
    busMegatransfers: 400,
  };
  const orders = {
    alternating: [0, 1, 2, 0, 1, 2],
    paired: [0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 1, 2],
  };
  for (const [pageOrder, expected] of Object.entries(orders)) {
    const rig = rigOf({ ...one, pageTypes: types, pageOrder }, 16);
    expected.forEach((type, unit) => {
      const start = rig.world.nowNs;
      rig.drive.read(unit, 1, 9);
      rig.settle();
      const ns = rig.ended.at(-1)!.atNs - start;
      assert.is(ns, (type + 1) * 10_000 + 320 + 10_240, `${pageOrder} page ${unit}`);
    });
  }
});

test('NV-DDR3 and Toggle have phases of their own', () => {
  const times = ['nv-ddr2', 'nv-ddr3', 'toggle'].map((bus) => {
    const rig = rigOf({ bus, busMegatransfers: 400 });
    return `${readNs(rig)} ${rig.ended[0]!.atNs}`;
  });
  assert.is(new Set(times).size, 3);
});

test.run();
