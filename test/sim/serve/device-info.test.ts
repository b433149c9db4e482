import * as assert from 'uvu/assert';
import { suite } from '../../support/suite.js';
import { EINVAL, hex, pack, ServeRig, u32, u64 } from './rig.js';

const test = suite('vfio-user device, region and interrupt info');

const regionAsk = (index: number, argsz = 32): Uint8Array =>
  pack([argsz, 4], [0, 4], [index, 4], [0, 4], [0, 8], [0, 8]);
const irqAsk = (index: number, argsz = 16): Uint8Array =>
  pack([argsz, 4], [0, 4], [index, 4], [0, 4]);

test('a device is PCI, can be reset, has nine regions and five kinds of interrupts', () => {
  const info = new ServeRig().done(4, pack([16, 4], [0, 4], [0, 4], [0, 4]));
  assert.equal(info, hex('10 00 00 00  03 00 00 00  09 00 00 00  05 00 00 00'));
});

test('device info for less than its 16 bytes is refused', () => {
  assert.is(new ServeRig().refuse(4, pack([15, 4], [0, 4], [0, 4], [0, 4])), EINVAL);
});

test('device info for a larger buffer says that 16 bytes are all there is', () => {
  const info = new ServeRig().done(4, pack([4096, 4], [0, 4], [0, 4], [0, 4]));
  assert.is(info.length, 16);
  assert.is(u32(info, 0), 16);
});

test('configuration space is 4096 bytes, readable, writable, and not to be mapped', () => {
  const rig = new ServeRig();
  const info = rig.done(5, regionAsk(7));
  assert.equal(
    info,
    hex(`20 00 00 00  03 00 00 00  07 00 00 00  00 00 00 00
         00 10 00 00 00 00 00 00  00 00 00 00 00 00 00 00`),
  );
  assert.equal(rig.socket.sentFds, []);
});

test('regions that the device lacks have size 0 and no flags', () => {
  const rig = new ServeRig();
  for (const index of [1, 3, 4, 5, 6, 8]) {
    const info = rig.done(5, regionAsk(index));
    assert.is(info.length, 32, `region ${index}`);
    assert.is(u32(info, 4), 0, `flags of region ${index}`);
    assert.is(u32(info, 8), index);
    assert.is(u64(info, 16), 0, `size of region ${index}`);
  }
});

test('regions from nine on do not exist', () => {
  const rig = new ServeRig();
  for (const index of [9, 100, 0xffff_ffff]) assert.is(rig.refuse(5, regionAsk(index)), EINVAL);
});

test('region info for less than its 32 bytes is refused', () => {
  const rig = new ServeRig();
  for (const argsz of [0, 31]) assert.is(rig.refuse(5, regionAsk(7, argsz)), EINVAL);
});

test('BAR 0 asked for in 32 bytes says that 64 are needed, and what would be in them', () => {
  const rig = new ServeRig();
  const info = rig.done(5, regionAsk(0, 32));
  assert.is(info.length, 32);
  assert.is(u32(info, 0), 64, 'argsz is what a whole answer takes');
  assert.is(u32(info, 4), 0x0f, 'read, write, mmap, capabilities');
  assert.is(u32(info, 12), 32, 'the capability would follow');
  assert.is(rig.socket.sentFds.length, 1, 'the mmap flag brings a descriptor');
});

test('BAR 0 has one sparse area: the doorbells, and not the registers before them', () => {
  const rig = new ServeRig();
  const info = rig.done(5, regionAsk(0, 64));
  const barBytes = u64(info, 16);
  assert.is(info.length, 64);
  assert.is(u32(info, 0), 64);
  assert.is(u32(info, 4), 0x0f);
  assert.is(u32(info, 8), 0);
  assert.is(u32(info, 12), 32, 'the first capability follows the info');
  assert.is(u64(info, 24), 0, 'the region starts at the front of the file');
  // Capability 1 version 1, last of its list, one area.
  assert.equal(info.slice(32, 48), hex('01 00 01 00  00 00 00 00  01 00 00 00  00 00 00 00'));
  assert.is(u64(info, 48), 0x1000, 'doorbells start behind the first page');
  assert.is(u64(info, 56), 0x1000, '65 queue pairs have their doorbells in one page');
  assert.ok(u64(info, 48) + u64(info, 56) <= barBytes);
  assert.is(barBytes, rig.server.card.function.bar(0).length);
});

test('more buffer than BAR 0 info needs changes nothing', () => {
  const rig = new ServeRig();
  assert.equal(rig.done(5, regionAsk(0, 4096)), rig.done(5, regionAsk(0, 64)));
});

test('the descriptor with BAR 0 is memory as long as the BAR', () => {
  const rig = new ServeRig();
  const info = rig.done(5, regionAsk(0, 64));
  const file = rig.system.open.get(rig.socket.sentFds[0]!);
  assert.is(file?.kind === 'memory' ? file.bytes.length : -1, u64(info, 16));
});

test('a peer that takes no descriptors is offered none: BAR 0 is read and written alone', () => {
  const rig = new ServeRig({ isNegotiated: false });
  rig.negotiate('{"capabilities":{"max_msg_fds":0}}\0');
  const info = rig.done(5, regionAsk(0, 64));
  assert.is(info.length, 32);
  assert.is(u32(info, 4), 0x03);
  assert.equal(rig.socket.sentFds, []);
});

test('doorbells that are farther apart take a larger area', () => {
  const rig = new ServeRig({ changes: { controller: { doorbellStride: 4 } } });
  const info = rig.done(5, regionAsk(0, 64));
  // 130 doorbells, 64 bytes apart: 8320 bytes, three pages.
  assert.is(u64(info, 56), 0x3000);
});

test('BAR 2, the memory buffer, is a region without mmap', () => {
  const rig = new ServeRig();
  const info = rig.done(5, regionAsk(2, 64));
  assert.is(u32(info, 4), 0x03);
  assert.is(u64(info, 16), 1_048_576);
});

test('no sub-region has a descriptor of its own', () => {
  const rig = new ServeRig();
  const answer = rig.done(6, pack([4096, 4], [0, 4], [0, 4], [0, 4]));
  assert.equal(answer, hex('10 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00'));
});

test('sub-regions of a region that is not, with flags, or for too little room are refused', () => {
  const rig = new ServeRig();
  assert.is(rig.refuse(6, pack([16, 4], [0, 4], [9, 4], [0, 4])), EINVAL);
  assert.is(rig.refuse(6, pack([16, 4], [1, 4], [0, 4], [0, 4])), EINVAL);
  assert.is(rig.refuse(6, pack([16, 4], [0, 4], [0, 4], [1, 4])), EINVAL);
  assert.is(rig.refuse(6, pack([15, 4], [0, 4], [0, 4], [0, 4])), EINVAL);
});

test('INTx is one vector with eventfd, mask and automask', () => {
  const info = new ServeRig().done(7, irqAsk(0));
  assert.equal(info, hex('10 00 00 00  07 00 00 00  00 00 00 00  01 00 00 00'));
});

test('MSI is not offered', () => {
  const info = new ServeRig().done(7, irqAsk(1));
  assert.equal(info, hex('10 00 00 00  00 00 00 00  01 00 00 00  00 00 00 00'));
});

test('MSI-X has a vector per entry of its table, with eventfd and mask', () => {
  const rig = new ServeRig();
  const info = rig.done(7, irqAsk(2));
  assert.equal(info, hex('10 00 00 00  03 00 00 00  02 00 00 00  41 00 00 00'));
  // Message Control of the capability at 50h: table size minus 1.
  assert.is((u32(rig.read(7, 0x50, 4), 0) >>> 16) & 0x7ff, 0x40);
});

test('errors and requests of the device are one vector each', () => {
  const rig = new ServeRig();
  for (const index of [3, 4]) {
    const info = rig.done(7, irqAsk(index));
    assert.is(u32(info, 4), 0x03);
    assert.is(u32(info, 12), 1);
  }
});

test('interrupts from five on do not exist', () => {
  const rig = new ServeRig();
  for (const index of [5, 0xffff_ffff]) assert.is(rig.refuse(7, irqAsk(index)), EINVAL);
});

test('interrupt info for less than its 16 bytes is refused', () => {
  assert.is(new ServeRig().refuse(7, irqAsk(2, 15)), EINVAL);
});

test.run();
