import * as assert from 'uvu/assert';
import { suite } from '../../support/suite.js';
import { Rig, type RigOptions } from './rig.js';

const test = suite('controller registers and life');
const cc = 0x14;
const csts = 0x1c;
const enabled = 0x0046_0001;

const ready = 1;
const fatal = 2;

test('CAP, VS and CRTO say what the profile says', () => {
  const rig = new Rig({
    changes: {
      controller: {
        queueEntries: 1024,
        isContiguousQueuesRequired: true,
        hasWeightedRoundRobin: true,
        readyTimeout500Ms: 10,
        pageBytesMin: 4096,
        pageBytesMax: 65536,
        hasSubsystemReset: true,
      },
    },
  });
  const low = rig.read(0);
  const high = rig.read(4);
  assert.is(low & 0xffff, 1023, 'MQES');
  assert.is((low >>> 16) & 1, 1, 'CQR');
  assert.is((low >>> 17) & 3, 1, 'AMS');
  assert.is(low >>> 24, 10, 'TO');
  assert.is((high >>> 4) & 1, 1, 'NSSRS');
  assert.is((high >>> 5) & 1, 1, 'CSS: NVM');
  assert.is((high >>> 16) & 15, 0, 'MPSMIN');
  assert.is((high >>> 20) & 15, 4, 'MPSMAX');
  assert.is(rig.read(8), 0x0002_0000, 'VS 2.0');
  assert.is(rig.read(0x68) & 0xffff, 10, 'CRTO.CRWMT');
});

test('reserved registers read as 0 and writes to them change nothing', () => {
  const rig = new Rig();
  for (const offset of [0x18, 0x6c, 0x100, 0xe00, 0xffc]) {
    rig.write(offset, 0xffff_ffff);
    assert.is(rig.read(offset), 0, `offset 0x${offset.toString(16)}`);
  }
  assert.is(rig.checker.countOf('registerReserved'), 5);
});

test('read-only registers keep their values', () => {
  const rig = new Rig();
  for (const offset of [0x00, 0x04, 0x08, 0x38, 0x3c, 0x68]) {
    const before = rig.read(offset);
    rig.write(offset, 0x5555_5555);
    assert.is(rig.read(offset), before);
  }
  assert.is(rig.checker.countOf('registerReadOnly'), 6);
});

test('reserved bits of CC, AQA, ASQ and ACQ read as 0', () => {
  const rig = new Rig();
  for (const [offset, mask] of [
    [0x24, 0x0fff_0fff],
    [0x28, 0xffff_f000],
    [0x2c, 0xffff_ffff],
    [0x30, 0xffff_f000],
    [0x34, 0xffff_ffff],
  ] as const) {
    rig.write(offset, 0xffff_ffff);
    assert.is(rig.read(offset), mask, `offset 0x${offset.toString(16)}`);
  }
  rig.write(cc, 0xff00_000e);
  assert.is(rig.read(cc), 0);
});

test('CSTS.RDY follows CC.EN after the time of the profile, both ways', () => {
  const rig = new Rig();
  const { readyNs, disableNs } = rig.profile.firmware;
  rig.startEnable();
  assert.is(rig.read(csts), 0);
  rig.run(readyNs - 1);
  assert.is(rig.read(csts), 0);
  rig.run(1);
  assert.is(rig.read(csts), ready);
  rig.write(cc, 0x0046_0000);
  assert.is(rig.read(csts), ready);
  rig.run(disableNs - 1);
  assert.is(rig.read(csts), ready);
  rig.run(1);
  assert.is(rig.read(csts), 0);
  assert.is(rig.adminExecutor.enabledCount, 1);
  rig.checker.demandNone();
});

const refusals: readonly [string, number, (rig: Rig) => void][] = [
  ['a memory page above CAP.MPSMAX', enabled | (9 << 7), () => {}],
  ['a reserved command set', enabled | (3 << 4), () => {}],
  ['a vendor arbitration that CAP does not offer', enabled | (7 << 11), () => {}],
  ['an admin submission queue of one entry', enabled, (rig) => rig.write(0x24, 31 << 16)],
  ['an admin completion queue of one entry', enabled, (rig) => rig.write(0x24, 31)],
  ['no admin submission queue', enabled, (rig) => rig.write(0x28, 0)],
  ['no admin completion queue', enabled, (rig) => rig.write(0x30, 0)],
];

for (const [what, value, spoil] of refusals) {
  test(`enabling with ${what} sets CFS, and clearing EN clears it`, () => {
    const rig = new Rig();
    rig.startEnable();
    rig.write(cc, 0);
    rig.run();
    if (what.startsWith('no admin')) {
      rig.write(0x2c, 0);
      rig.write(0x34, 0);
    }
    spoil(rig);
    rig.write(cc, value);
    rig.run();
    assert.is(rig.read(csts), fatal);
    assert.is(rig.checker.countOf('sequence'), 1);
    rig.write(cc, 0);
    rig.run();
    assert.is(rig.read(csts), 0);
    rig.enable();
    assert.is(rig.read(csts), ready);
  });
}

test('an admin queue must start on a memory page of the size chosen', () => {
  const rig = new Rig();
  rig.startEnable();
  rig.write(cc, 0);
  rig.run();
  const page = rig.dma.allocate(65536, { alignment: 65536 });
  rig.write(0x28, (page.iova + 4096) % 2 ** 32);
  rig.write(0x2c, Math.floor(page.iova / 2 ** 32));
  rig.write(cc, enabled | (1 << 7));
  rig.run();
  assert.is(rig.read(csts), fatal);
});

test('AQA, ASQ and ACQ, and CC.MPS, CSS and AMS, do not change while EN is 1', () => {
  const rig = new Rig();
  rig.enable();
  const before = [0x24, 0x28, 0x2c, 0x30, 0x34, cc].map((offset) => rig.read(offset));
  for (const offset of [0x24, 0x28, 0x2c, 0x30, 0x34]) rig.write(offset, 0);
  rig.write(cc, enabled | (2 << 7) | (6 << 4) | (1 << 11));
  assert.equal(
    [0x24, 0x28, 0x2c, 0x30, 0x34, cc].map((offset) => rig.read(offset)),
    before,
  );
  assert.is(rig.checker.countOf('registerWhileEnabled'), 8);
});

test('a controller reset keeps AQA, ASQ and ACQ; a function reset does not', () => {
  const rig = new Rig();
  rig.enable();
  const before = [0x24, 0x28, 0x30].map((offset) => rig.read(offset));
  rig.write(cc, 0);
  rig.run();
  assert.equal(
    [0x24, 0x28, 0x30].map((offset) => rig.read(offset)),
    before,
  );
  rig.controller.reset('function');
  for (const offset of [0x24, 0x28, 0x2c, 0x30, 0x34, cc, csts]) assert.is(rig.read(offset), 0);
});

for (const [word, shn] of [
  ['normal', 1],
  ['abrupt', 2],
] as const) {
  test(`a ${word} shutdown is occurring until the cache is written, then complete`, () => {
    const rig = new Rig();
    rig.enable();
    const ns = rig.profile.firmware.shutdownNs + 5000;
    rig.adminExecutor.shutdownNs = ns;
    rig.write(cc, enabled | (shn << 14));
    assert.is(rig.read(csts), ready | (1 << 2));
    rig.run(ns - 1);
    assert.is(rig.read(csts), ready | (1 << 2));
    rig.run(1);
    assert.is(rig.read(csts), ready | (2 << 2));
    assert.equal(rig.adminExecutor.shutdowns, [shn === 2]);
  });
}

test('commands after a shutdown are reported and not fetched; a reset brings them back', () => {
  const rig = new Rig();
  rig.enable();
  rig.write(cc, enabled | (1 << 14));
  rig.run(10_000_000_000);
  rig.admin.put({ cid: 1 });
  rig.admin.ring();
  rig.run();
  assert.is(rig.adminExecutor.begun.length, 0);
  assert.is(rig.checker.countOf('shutdownIgnored'), 1);
  rig.write(cc, 0);
  rig.run();
  assert.is(rig.read(csts), 0);
});

test('NSSR resets on its signature alone, and CSTS.NSSRO says so until it is cleared', () => {
  const rig = new Rig();
  rig.enable();
  rig.write(0x20, 0x4e56_4d64);
  assert.is(rig.read(csts), ready);
  rig.write(0x20, 0x4e56_4d65);
  assert.is(rig.read(csts), 1 << 4);
  assert.is(rig.read(cc), 0);
  assert.is(rig.read(0x20), 0);
  rig.controller.reset('function');
  assert.is(rig.read(csts), 1 << 4);
  rig.write(csts, 1 << 4);
  assert.is(rig.read(csts), 0);
});

test('a doorbell before RDY, and one after EN is cleared, is ignored', () => {
  const rig = new Rig();
  rig.startEnable();
  rig.admin.put({ cid: 1 });
  rig.admin.ring();
  rig.run(rig.profile.firmware.readyNs);
  rig.run();
  assert.is(rig.adminExecutor.begun.length, 0);
  rig.write(cc, 0);
  rig.admin.ring();
  rig.run();
  assert.is(rig.checker.countOf('doorbellDisabled'), 2);
});

test('EN set again before RDY has fallen is reported, and the controller comes up', () => {
  const rig = new Rig();
  rig.enable();
  rig.write(cc, 0);
  rig.write(cc, enabled);
  rig.run(rig.profile.firmware.readyNs);
  assert.is(rig.read(csts), ready);
  assert.is(rig.checker.countOf('sequence'), 1);
});

/** A reset in the middle of everything: entries being fetched, delayed, posted, backlogged. */
const resets: readonly [string, (rig: Rig) => void][] = [
  ['a controller reset', (rig) => rig.write(cc, 0)],
  ['a function reset', (rig) => rig.controller.reset('function')],
  ['an NVM subsystem reset', (rig) => rig.write(0x20, 0x4e56_4d65)],
  ['a loss of power', (rig) => rig.controller.reset('power')],
];

for (const [what, reset] of resets) {
  for (const afterNs of [0, 50, 250, 900, 5_000, 20_000, 100_000]) {
    test(`after ${what} at ${afterNs} ns with full queues nothing is written any more`, () => {
      const rig = new Rig(smallQueues);
      rig.enable();
      const services = rig.controller.services;
      rig.io.onBegin = (command) => services.delay(command, 1_000 * (command.cid % 64));
      rig.io.onFinish = (command) => services.complete(command, 0);
      const rings = [1, 2, 3].map((id) => rig.pair(id, 64));
      for (const ring of rings) {
        for (let cid = 0; cid < 63; cid++) ring.put({ cid });
        ring.ring();
      }
      rig.run(afterNs);
      reset(rig);
      const before = rings.map((ring) => ring.cq.bytes.slice());
      // The driver takes its memory back at once: any access would fault.
      for (const ring of [...rings, rig.admin]) {
        rig.dma.free(ring.sq);
        rig.dma.free(ring.cq);
      }
      rig.run(10_000_000_000);
      assert.is(rig.memory.faultCount, 0);
      assert.is(rig.io.abandonCount >= 1, true);
      assert.is(rig.adminExecutor.abandonCount, rig.io.abandonCount);
      for (const [i, ring] of rings.entries()) assert.equal(ring.cq.bytes.slice(), before[i]);
      assert.is(rig.world.pendingCount, 0);
    });
  }
}

const smallQueues: RigOptions = {};

test('after a reset with full queues the next life starts clean', () => {
  const rig = new Rig();
  const services = rig.controller.services;
  rig.io.onBegin = (command) => services.delay(command, 50_000);
  rig.io.onFinish = (command) => services.complete(command, 0);
  for (let life = 0; life < 5; life++) {
    rig.admin.tail = 0;
    rig.enable();
    const ring = rig.pair(1, 16);
    for (let cid = 0; cid < 15; cid++) ring.put({ cid });
    ring.ring();
    rig.run(life === 4 ? 10_000_000 : 10_000);
    if (life === 4) assert.is(ring.take().length, 15);
    rig.write(cc, 0);
    rig.run();
  }
  rig.checker.demandNone();
});

test('queue memory that the device cannot read is fatal until a reset', () => {
  const rig = new Rig();
  rig.enable();
  rig.dma.free(rig.admin.sq);
  rig.admin.put({ cid: 1 });
  rig.admin.ring();
  rig.run();
  assert.is(rig.read(csts) & fatal, fatal);
  assert.is(rig.checker.countOf('queueMemoryInvalid'), 1);
});

test('a completion queue that the device cannot write is fatal until a reset', () => {
  const rig = new Rig();
  rig.enable();
  rig.dma.free(rig.admin.cq);
  for (let cid = 0; cid < 5; cid++) rig.admin.put({ cid });
  rig.admin.ring();
  rig.run();
  assert.is(rig.read(csts) & fatal, fatal);
  assert.is(rig.memory.faultCount, 1);
});

test.run();
