import * as assert from 'uvu/assert';
import { SimCard } from '../../sim/card.js';
import { defineProfile, findProfile } from '../../sim/profiles/index.js';
import { suite } from '../support/suite.js';
import { ScriptedExecutor } from './nvme/rig.js';

const test = suite('simulated card');
const allOnes = 0xffff_ffff;
const version = 0x08;
const sriovControl = 0x168;
const numVfs = 0x170;

function makeCard(): SimCard {
  const profile = defineProfile(findProfile('simple'), {
    controller: { virtualFunctions: 2, queuePairs: 4, vectors: 5 },
    firmware: { bootNs: 5_000 },
  });
  return new SimCard({
    profile,
    commandSets: () => {
      const set = new ScriptedExecutor(() => {});
      return { admin: set, io: set };
    },
  });
}

test('a card that was opened answers, decodes memory and does not master the bus', () => {
  const card = makeCard();
  const fn = card.open();
  assert.is(fn.bar(0).read32(version), 0x0002_0000, 'NVM Express 2.0');
  assert.is(fn.config.read16(4) & 0x6, 0x2);
  assert.is(fn.address, 'sim:simple#0');
  assert.throws(() => card.open(1), /function 1: the card has 0\.\.0/);
});

test('a power cut makes everything all-ones, restore brings it back after the boot time', () => {
  const card = makeCard();
  const fn = card.open();
  card.powerCut();
  assert.is(fn.bar(0).read32(version), allOnes);
  assert.is(fn.config.read32(0), allOnes);
  card.restore();
  assert.is(fn.bar(0).read32(version), allOnes);
  card.world.advance(5_000);
  assert.is(fn.bar(0).read32(version), 0x0002_0000);
});

test('a link that comes back finds the function after a reset of the bus', () => {
  const card = makeCard();
  const fn = card.open();
  fn.config.write16(4, 0x6);
  card.linkDown();
  assert.is(fn.bar(0).read32(version), allOnes);
  assert.not.ok(fn.isRemoved);
  card.linkUp();
  assert.is(fn.bar(0).read32(version), 0x0002_0000);
  assert.is(fn.config.read16(4) & 0x4, 0);
});

test('a card that was pulled out says so and never answers again', () => {
  const card = makeCard();
  const fn = card.open();
  card.surpriseRemove();
  assert.ok(fn.isRemoved);
  card.restore();
  card.world.advance(10_000);
  assert.is(fn.bar(0).read32(version), allOnes);
});

test('virtual functions appear with VF Enable, decode with VF MSE, and go with either', () => {
  const card = makeCard();
  const { config } = card.open();
  config.write16(numVfs, 2);
  assert.is(card.functions.length, 1);
  config.write16(sriovControl, 0x0001);
  assert.is(card.functions.length, 3);
  const virtual = card.open(2);
  assert.is(virtual.config.read32(0), 0x0001_55aa, 'as the platform shows them');
  assert.is(virtual.registers.words[0], allOnes, 'as they are on the bus');
  assert.is(virtual.config.read8(0x34), 0x40);
  assert.is(virtual.bar(0).read32(version), allOnes, 'no memory without VF MSE');
  config.write16(sriovControl, 0x0009);
  assert.is(virtual.bar(0).read32(version), 0x0002_0000);
  config.write16(sriovControl, 0);
  assert.is(virtual.bar(0).read32(version), allOnes);
  assert.is(virtual.config.read16(0x06), 0xffff);
});

test('a reset of the physical function takes the virtual ones away', async () => {
  const card = makeCard();
  const fn = card.open();
  fn.config.write16(numVfs, 1);
  fn.config.write16(sriovControl, 0x0009);
  const virtual = card.open(1);
  assert.is(virtual.bar(0).read32(version), 0x0002_0000);
  fn.config.write16(0x78, 0x8000);
  card.world.advance(200_000_000);
  assert.is(virtual.bar(0).read32(version), allOnes);
  assert.is(fn.bar(0).read32(version), 0x0002_0000);
});

test('two cards in one world share the clock and no device address', () => {
  const first = makeCard();
  const { profile } = first;
  const second = new SimCard({
    profile,
    world: first.world,
    commandSets: () => {
      const set = new ScriptedExecutor(() => {});
      return { admin: set, io: set };
    },
  });
  const one = first.open().dma.allocate(4096);
  assert.is(second.open().address, 'sim:simple#1');
  second.open().config.write16(4, 0x6);
  assert.not.ok(second.function.hostMemory.canRead(one.iova, 4));
});

test.run();
