import * as assert from 'uvu/assert';
import { UltimaError } from '../../../sdk/errors.js';
import { barSize, Header } from '../../../sdk/spec/pcie/header.js';
import { Checker } from '../../../sim/checker.js';
import type { Endpoint, EndpointReset, HostLink } from '../../../sim/pcie/endpoint.js';
import { SimFunction } from '../../../sim/pcie/function.js';
import { LinkTiming } from '../../../sim/pcie/link.js';
import { defineProfile, findProfile } from '../../../sim/profiles/index.js';
import { World } from '../../../sim/world.js';
import { suite } from '../../support/suite.js';

const test = suite('PCIe function');
const allOnes = 0xffff_ffff;
const busMaster = 0x0004;
const memorySpace = 0x0002;
// Offsets of [PCIe-4.0 §7.5.1] and of our capabilities, written out by hand.
const command = 0x04;
const bar0 = 0x10;
const msixControl = 0x52;
const tableOffset = 0x1000;
const pendingOffset = 0x2000;

/** A device with 64 dwords of memory at BAR 0; a write to 0x80 raises that vector. */
class Scratch implements Endpoint {
  readonly words = new Uint32Array(64);
  readonly resets: string[] = [];
  private readonly link: HostLink;

  constructor(link: HostLink) {
    this.link = link;
  }

  readBar(_bar: number, offset: number): number {
    return this.words[offset / 4]!;
  }

  writeBar(_bar: number, offset: number, value: number): void {
    this.words[offset / 4] = value;
    if (offset === 0x80) this.link.raise(value);
  }

  reset(kind: EndpointReset): void {
    this.resets.push(kind);
    this.words.fill(0);
  }

  powerOn(): void {
    this.resets.push('on');
  }
}

function fixture() {
  const profile = defineProfile(findProfile('simple'), { host: { interruptNs: 500 } });
  const world = new World();
  const checker = new Checker(world);
  const link = new LinkTiming(world, profile.link);
  const fn = new SimFunction({
    world,
    checker,
    link,
    address: 'sim:test#0',
    ordinal: 0,
    identity: profile.identity,
    linkProfile: profile.link,
    host: profile.host,
    bars: [{ index: 0, bytes: 256, isPrefetchable: false }],
    vectors: 40,
    virtualFunctions: 4,
    isVirtual: false,
  });
  const device = new Scratch(fn);
  fn.attach(device);
  fn.config.write16(command, busMaster | memorySpace);
  return { world, checker, fn, device, bar: fn.bar(0) };
}

test('the header says who it is, byte, word and dword alike', () => {
  const { fn } = fixture();
  assert.is(fn.config.read16(0), 0x55aa);
  assert.is(fn.config.read32(0), 0x000155aa);
  assert.is(fn.config.read8(0x0b), 0x01);
  assert.is(fn.config.read8(0x0a), 0x08);
  assert.is(fn.config.read8(0x09), 0x02);
});

test('a walk of the capability list finds power management, MSI-X and PCI Express', () => {
  const { fn } = fixture();
  const found: number[] = [];
  for (let at = fn.config.read8(0x34); at !== 0; at = fn.config.read8(at + 1)) {
    found.push(fn.config.read8(at));
  }
  assert.equal(found, [0x01, 0x11, 0x10]);
});

test('a walk of the extended capabilities finds AER and SR-IOV', () => {
  const { fn } = fixture();
  const found: number[] = [];
  for (let at = 0x100; at !== 0; at = fn.config.read32(at) >>> 20) {
    found.push(fn.config.read16(at));
  }
  assert.equal(found, [0x0001, 0x0010]);
});

test('all-ones written to a BAR read back as its size, and the address comes back', () => {
  const { fn } = fixture();
  const low = fn.config.read32(bar0);
  const high = fn.config.read32(bar0 + 4);
  assert.is(low & 0xf, 0x4, '64-bit memory, not prefetchable');
  fn.config.write32(bar0, allOnes);
  fn.config.write32(bar0 + 4, allOnes);
  const size = barSize(fn.config.read32(bar0), fn.config.read32(bar0 + 4));
  assert.is(size, fn.bar(0).length);
  assert.is(size, 0x4000);
  fn.config.write32(bar0, low);
  fn.config.write32(bar0 + 4, high);
  assert.is(fn.config.read32(bar0), low);
});

test('BARs that do not exist read as 0 after all-ones', () => {
  const { fn } = fixture();
  for (const offset of [0x18, 0x1c, 0x20, 0x24, 0x30]) {
    fn.config.write32(offset, allOnes);
    assert.is(fn.config.read32(offset), 0);
  }
  assert.throws(() => fn.bar(2), /has no BAR 2/);
});

test('a byte write changes only its byte, and read-only bits stay', () => {
  const { fn } = fixture();
  fn.config.write16(command, 0);
  fn.config.write8(command + 1, 0xff);
  assert.is(fn.config.read16(command), 0x0500, 'SERR# and Interrupt Disable');
  fn.config.write32(0, 0);
  assert.is(fn.config.read16(0), 0x55aa);
});

test('a status bit is cleared by writing a one and by nothing else', () => {
  const { fn } = fixture();
  Header.receivedMasterAbort.set(fn.registers.words, 0, 1);
  fn.config.write16(command + 2, 0);
  assert.is(fn.config.read16(command + 2) & 0x2000, 0x2000);
  fn.config.write16(command + 2, 0x2000);
  assert.is(fn.config.read16(command + 2) & 0x2000, 0);
});

test('a register write arrives after the link time, a read waits for it and the round trip', () => {
  const { world, device, bar } = fixture();
  const startNs = world.nowNs;
  bar.write32(0x10, 0xfeedbeef);
  assert.is(device.words[4], 0);
  assert.is(world.nowNs, startNs);
  assert.is(bar.read32(0x10), 0xfeedbeef);
  assert.is(world.nowNs, startNs + 2 * 200 + 100);
});

test('a thousand writes in a row arrive in order', () => {
  const { world, device, bar } = fixture();
  for (let i = 0; i < 1000; i++) bar.write32((i % 32) * 4, i);
  world.advance(200);
  for (let i = 0; i < 32; i++) assert.is(device.words[i], i < 8 ? 992 + i : 960 + i);
});

test('with memory decoding off reads are all-ones, writes are lost, and both are reported', () => {
  const { fn, checker, bar, device } = fixture();
  fn.config.write16(command, busMaster);
  assert.is(bar.read32(0), allOnes);
  bar.write32(0, 5);
  fn.config.write16(command, busMaster | memorySpace);
  assert.is(bar.read32(0), 0);
  assert.is(device.words[0], 0);
  assert.is(checker.countOf('memoryDisabled'), 2);
});

test('a request that nothing decodes is logged as unsupported, until it is cleared', () => {
  const { fn, bar } = fixture();
  assert.is(fn.config.read16(0x7a) & 0x8, 0);
  fn.config.write16(command, 0);
  bar.read32(0);
  assert.is(fn.config.read16(0x7a) & 0x8, 0x8, 'Device Status');
  assert.is(fn.config.read32(0x104), 0x0010_0000, 'AER');
  fn.config.write16(0x7a, 0x8);
  fn.config.write32(0x104, 0x0010_0000);
  assert.is(fn.config.read16(0x7a) & 0x8, 0);
  assert.is(fn.config.read32(0x104), 0);
});

test('in D3hot nothing decodes and no DMA passes; D0 brings both back', () => {
  const { fn, bar } = fixture();
  const region = fn.dma.allocate(4096);
  fn.config.write16(0x44, 3);
  assert.is(bar.read32(0), allOnes);
  assert.not.ok(fn.hostMemory.canRead(region.iova, 4));
  fn.config.write16(0x44, 0);
  assert.is(bar.read32(0), 0);
  assert.ok(fn.hostMemory.canRead(region.iova, 4));
});

test('without bus master the device reaches neither memory nor interrupts', () => {
  const { fn, checker, world } = fixture();
  const region = fn.dma.allocate(4096);
  fn.interrupts.enable(1);
  fn.config.write16(command, memorySpace);
  assert.not.ok(fn.hostMemory.writeWord(region.iova, 1));
  fn.raise(0);
  world.advance(10_000);
  assert.not.ok(fn.interrupts.take(0));
  assert.is(checker.countOf('dmaNotBusMaster'), 2);
});

test('a fault of the device names the queue and the command for which it happened', () => {
  const { fn, checker } = fixture();
  fn.memory.queue = 3;
  fn.memory.cid = 0x77;
  assert.is(fn.hostMemory.readWord(0x5000), -1);
  const report = checker.reports[0]!;
  assert.is(report.rule, 'dmaUnmapped');
  assert.is(report.queue, 3);
  assert.is(report.cid, 0x77);
  assert.is(report.value, 0x5000);
});

test('memory that the device may only read, or only write, is reported as such', () => {
  const { fn, checker } = fixture();
  const toDevice = fn.dma.allocate(4096, { access: 'read' });
  const fromDevice = fn.dma.allocate(4096, { access: 'write' });
  assert.not.ok(fn.hostMemory.writeWord(toDevice.iova, 1));
  assert.is(fn.hostMemory.readWord(fromDevice.iova), -1);
  assert.equal(
    checker.reports.map((report) => report.rule),
    ['dmaReadOnly', 'dmaWriteOnly'],
  );
});

test('DMA after a reset is refused until software asks for something', async () => {
  const { fn, bar, checker, world } = fixture();
  const region = fn.dma.allocate(4096);
  await fn.reset('function');
  assert.not.ok(fn.hostMemory.writeWord(region.iova, 7));
  assert.is(region.words[0], 0);
  assert.is(checker.countOf('dmaAfterReset'), 1);
  bar.write32(0, 1);
  world.advance(1000);
  assert.ok(fn.hostMemory.writeWord(region.iova, 7));
});

test('a write to a capability register without a writable bit is reported', () => {
  const { fn, checker } = fixture();
  fn.config.write32(0x54, allOnes);
  assert.is(fn.config.read32(0x54), tableOffset);
  assert.is(checker.countOf('configReadOnly'), 1);
});

test('a vector fires after the interrupt time and stays fired until it is taken', async () => {
  const { fn, world, bar } = fixture();
  fn.interrupts.enable(3);
  const startNs = world.nowNs;
  bar.write32(0x80, 2);
  assert.ok(await fn.interrupts.wait(2, startNs + 10_000));
  assert.is(world.nowNs, startNs + 200 + 500);
  assert.not.ok(fn.interrupts.take(2));
  assert.not.ok(await fn.interrupts.wait(2, startNs + 10_000));
  assert.is(world.nowNs, startNs + 10_000);
});

test('interrupts that are not enabled, or of vectors beyond the count, are lost', () => {
  const { fn, world } = fixture();
  fn.raise(0);
  fn.interrupts.enable(2);
  fn.raise(40);
  world.advance(10_000);
  for (let vector = 0; vector < 40; vector++) assert.not.ok(fn.interrupts.take(vector));
  assert.throws(() => fn.interrupts.enable(41), /0\.\.40/);
  assert.throws(() => fn.interrupts.take(40), /0\.\.39/);
});

test('a masked vector sets its pending bit and fires once when it is unmasked', () => {
  const { fn, world, bar } = fixture();
  fn.interrupts.enable(40);
  fn.interrupts.mask(33);
  fn.raise(33);
  fn.raise(33);
  world.advance(10_000);
  assert.not.ok(fn.interrupts.take(33));
  assert.is(bar.read32(pendingOffset + 4), 1 << 1);
  fn.interrupts.unmask(33);
  world.advance(500);
  assert.ok(fn.interrupts.take(33));
  assert.is(bar.read32(pendingOffset + 4), 0);
  world.advance(10_000);
  assert.not.ok(fn.interrupts.take(33));
});

test('the function mask holds all vectors back, its end lets the pending ones go', () => {
  const { fn, world } = fixture();
  fn.interrupts.enable(4);
  fn.config.write16(msixControl, 0xc000);
  fn.raise(1);
  fn.raise(3);
  world.advance(10_000);
  assert.not.ok(fn.interrupts.take(1));
  fn.config.write16(msixControl, 0x8000);
  world.advance(500);
  assert.equal(
    [0, 1, 2, 3].map((vector) => fn.interrupts.take(vector)),
    [false, true, false, true],
  );
});

test('the MSI-X table is in the window where the capability says', () => {
  const { fn, bar, checker } = fixture();
  assert.is(fn.config.read32(0x54), tableOffset);
  assert.is(fn.config.read32(0x58), pendingOffset);
  assert.is(fn.config.read16(msixControl) & 0x7ff, 39);
  assert.is(bar.read32(tableOffset + 12), 1, 'vectors come up masked');
  bar.write32(tableOffset + 16, 0xfee00003);
  assert.is(bar.read32(tableOffset + 16), 0xfee00000, 'addresses are dword-aligned');
  assert.is(checker.total, 0);
  bar.write32(pendingOffset, 1);
  assert.is(bar.read32(pendingOffset), 0);
  assert.is(checker.countOf('msixMisuse'), 1);
});

test('a vector whose address is memory writes its data there, through the IOMMU', () => {
  const { fn, bar, world } = fixture();
  const region = fn.dma.allocate(4096);
  fn.interrupts.enable(1);
  fn.interrupts.mask(0);
  bar.write32(tableOffset, region.iova % 2 ** 32);
  bar.write32(tableOffset + 4, region.iova / 2 ** 32);
  bar.write32(tableOffset + 8, 0xcafe);
  bar.write32(tableOffset + 12, 0);
  world.advance(1000);
  fn.raise(0);
  assert.is(region.words[0], 0xcafe);
});

test('a function-level reset by the platform keeps command, BARs and interrupts', async () => {
  const { fn, bar, device, world } = fixture();
  fn.interrupts.enable(2);
  bar.write32(4, 9);
  const before = [fn.config.read32(command), fn.config.read32(bar0), fn.config.read32(0x50)];
  const startNs = world.nowNs;
  await fn.reset('function');
  assert.is(world.nowNs, startNs + 100_000_000);
  assert.equal(device.resets, ['function']);
  assert.is(bar.read32(4), 0);
  const after = [fn.config.read32(command), fn.config.read32(bar0), fn.config.read32(0x50)];
  assert.equal(after, before);
  bar.write32(0x80, 1);
  assert.ok(await fn.interrupts.wait(1, world.nowNs + 10_000));
});

test('during a reset everything reads as all-ones and nothing is delivered', () => {
  const { fn, bar, device, world } = fixture();
  bar.write32(0, 1);
  fn.config.write16(0x78, 0x8000 | fn.config.read16(0x78));
  assert.equal(device.resets, ['function']);
  assert.is(bar.read32(0), allOnes);
  assert.is(fn.config.read32(0), allOnes);
  bar.write32(0, 7);
  world.advance(100_000_000);
  assert.is(bar.read32(0), 0);
  assert.is(fn.config.read16(0x78) & 0x8000, 0, 'Initiate FLR reads as 0');
  assert.is(fn.config.read16(command) & busMaster, 0, 'nobody restored it');
});

test('AER status survives a reset of the bus and not the loss of power', async () => {
  const { fn, world } = fixture();
  fn.registers.words[0x104 / 4] = 0x00004000;
  await fn.reset('bus');
  assert.is(fn.config.read32(0x104), 0x00004000);
  fn.powerOff();
  fn.powerOn(1000);
  world.advance(1000);
  assert.is(fn.config.read32(0x104), 0);
});

test('without power all is all-ones; power brings it back as after reset', () => {
  const { fn, bar, device, world } = fixture();
  bar.write32(8, 3);
  fn.powerOff();
  assert.is(bar.read32(8), allOnes);
  assert.is(fn.config.read16(0), 0xffff);
  assert.not.ok(fn.isRemoved);
  fn.powerOn(5000);
  assert.is(bar.read32(8), allOnes, 'not booted yet');
  world.advance(5000);
  assert.is(bar.read32(8), 0);
  assert.equal(device.resets, ['power', 'on']);
});

test('a removed function says so and stays gone', () => {
  const { fn, bar } = fixture();
  fn.remove();
  assert.ok(fn.isRemoved);
  assert.is(bar.read32(0), allOnes);
  fn.powerOff();
  fn.powerOn(0);
  fn.linkDown();
  fn.linkUp();
  assert.is(bar.read32(0), allOnes);
});

test('writes that were on the link when it went down never arrive', () => {
  const { fn, bar, device, world } = fixture();
  bar.write32(0, 42);
  fn.linkDown();
  fn.linkUp();
  world.advance(10_000);
  assert.is(device.words[0], 0);
  bar.write32(0, 43);
  assert.is(bar.read32(0), 43);
});

function isMapFailure(error: unknown): boolean {
  return error instanceof UltimaError && error.code === 'DMA_MAP_FAILED';
}

test('close unmaps all and turns bus mastering off; open finds a fresh function', async () => {
  const { fn, bar, world } = fixture();
  const region = fn.dma.allocate(4096);
  fn.interrupts.enable(1);
  await fn.close();
  await fn.close();
  assert.ok(region.isFreed);
  assert.is(bar.read32(0), allOnes);
  assert.ok(region.isLost);
  fn.dma.free(region);
  assert.throws(() => fn.dma.allocate(1), isMapFailure);
  fn.open();
  fn.dma.free(region);
  world.advance(1);
  assert.is(bar.read32(0), 0);
  assert.is(fn.config.read16(command), memorySpace);
  assert.ok(fn.dma.allocate(1).length > 0);
});

test('offsets outside the window or not on a dword are refused on the spot', () => {
  const { bar, fn } = fixture();
  assert.throws(() => bar.read32(2), /multiple of 4/);
  assert.throws(() => bar.write32(0x4000, 0), /below 16384/);
  assert.throws(() => bar.write32(-4, 0), /multiple of 4/);
  assert.throws(() => fn.config.read32(0x1000), /below 4096/);
  assert.throws(() => fn.config.read16(1), /multiple of 2/);
});

test.run();
