import * as assert from 'uvu/assert';
import { suite } from '../../support/suite.js';
import { EEXIST, EINVAL, ENOENT, ENOSPC, EOPNOTSUPP, hex, pack, ServeRig } from './rig.js';

const test = suite('vfio-user DMA map and unmap');

const unmapping = (address: number, length: number, flags = 0): Uint8Array =>
  pack([24, 4], [flags, 4], [address, 8], [length, 8]);
/** The words of a quadword above 2^53. */
const beyond = hex('00 00 00 00 00 00 20 00');

test('a map is answered with a header alone, and the descriptor is not kept', () => {
  const rig = new ServeRig();
  const before = rig.system.open.size;
  const fd = rig.system.memoryFd(new Uint8Array(0x2000));
  assert.equal(rig.done(2, rig.mapping(0x1_0000_0000, 0x2000), [fd]), hex(''));
  assert.is(rig.system.open.size, before);
  assert.is(rig.system.mappedCount, 1);
  assert.is(rig.server.status.regionCount, 1);
});

test('the bytes of the text map 2 MiB at 2 0000 0000h from offset 10 0000h of a file', () => {
  const rig = new ServeRig();
  const bytes = new Uint8Array(0x30_0000);
  const payload = hex(`
    20 00 00 00  03 00 00 00  00 00 10 00 00 00 00 00
    00 00 00 00 02 00 00 00   00 00 20 00 00 00 00 00`);
  rig.done(2, payload, [rig.system.memoryFd(bytes)]);
  const { memory } = rig.server.card.function;
  rig.write32(7, 4, 0x0006);
  assert.ok(memory.writeBytes(0x2_0000_0000, Uint8Array.of(0xab), 0, 1));
  assert.is(bytes[0x10_0000], 0xab);
  assert.ok(memory.writeBytes(0x2_001f_ffff, Uint8Array.of(0xcd), 0, 1));
  assert.is(bytes[0x2f_ffff], 0xcd);
});

test('a map without a descriptor is a region that only messages reach', () => {
  const rig = new ServeRig();
  rig.done(2, rig.mapping(0x1000, 0x1000));
  assert.is(rig.server.status.regionCount, 1);
  assert.is(rig.system.mappedCount, 0);
});

test('two descriptors with one map are closed, and the map refused', () => {
  const rig = new ServeRig();
  const before = rig.system.open.size;
  const fds = [1, 2].map(() => rig.system.memoryFd(new Uint8Array(0x1000)));
  assert.is(rig.refuse(2, rig.mapping(0x1000, 0x1000), fds), EINVAL);
  assert.is(rig.system.open.size, before);
});

const wrongMaps: readonly (readonly [why: string, payload: Uint8Array])[] = [
  ['argsz below 32', pack([31, 4], [3, 4], [0, 8], [0x1000, 8], [0x1000, 8])],
  ['no direction', pack([32, 4], [0, 4], [0, 8], [0x1000, 8], [0x1000, 8])],
  ['length 0', pack([32, 4], [3, 4], [0, 8], [0x1000, 8], [0, 8])],
  ['an address inside a page', pack([32, 4], [3, 4], [0, 8], [0x1004, 8], [0x1000, 8])],
  ['half a page', pack([32, 4], [3, 4], [0, 8], [0x1000, 8], [0x800, 8])],
  ['an offset inside a page', pack([32, 4], [3, 4], [0x10, 8], [0x1000, 8], [0x1000, 8])],
  ['an end beyond 2^53', pack([32, 4], [3, 4], [0, 8], [2 ** 53 - 4096, 8], [0x2000, 8])],
  ['an offset beyond the file', pack([32, 4], [3, 4], [0x1000, 8], [0x1000, 8], [0x1000, 8])],
  ['more than the file has', pack([32, 4], [3, 4], [0, 8], [0x1000, 8], [0x2000, 8])],
  [
    'an address above 2^53',
    Uint8Array.from([...pack([32, 4], [3, 4], [0, 8]), ...beyond, ...pack([0x1000, 8])]),
  ],
  [
    'a length above 2^53',
    Uint8Array.from([...pack([32, 4], [3, 4], [0, 8], [0x1000, 8]), ...beyond]),
  ],
  [
    'an offset above 2^53',
    Uint8Array.from([...pack([32, 4], [3, 4]), ...beyond, ...pack([0x1000, 8], [0x1000, 8])]),
  ],
];
for (const [why, payload] of wrongMaps) {
  test(`a map with ${why} is refused, and nothing is mapped`, () => {
    const rig = new ServeRig();
    const before = rig.system.open.size;
    const fd = rig.system.memoryFd(new Uint8Array(0x1000));
    assert.is(rig.refuse(2, payload, [fd]), EINVAL);
    assert.is(rig.system.open.size, before);
    assert.is(rig.system.mappedCount, 0);
    assert.is(rig.server.status.regionCount, 0);
  });
}

test('what the system says about a mapping is what the peer hears', () => {
  const rig = new ServeRig();
  rig.system.mapError = 12;
  const fd = rig.system.memoryFd(new Uint8Array(0x1000));
  assert.is(rig.refuse(2, rig.mapping(0x1000, 0x1000), [fd]), 12);
  assert.is(rig.server.status.regionCount, 0);
});

test('a read-only descriptor cannot be mapped for writing, and can for reading', () => {
  const rig = new ServeRig();
  const make = (): number[] => [rig.system.memoryFd(new Uint8Array(0x1000), true)];
  assert.is(rig.refuse(2, rig.mapping(0x1000, 0x1000, 3), make()), 13);
  rig.done(2, rig.mapping(0x1000, 0x1000, 1), make());
});

test('a map over any part of another is refused with EEXIST', () => {
  const rig = new ServeRig();
  rig.give(0x10_000, 0x4000);
  const overlaps: readonly (readonly [number, number])[] = [
    [0x10_000, 0x4000],
    [0x10_000, 0x1000],
    [0x13_000, 0x1000],
    [0x11_000, 0x1000],
    [0xf000, 0x2000],
    [0x13_000, 0x2000],
    [0xf000, 0x6000],
  ];
  for (const [address, length] of overlaps) {
    const fd = rig.system.memoryFd(new Uint8Array(length));
    assert.is(rig.refuse(2, rig.mapping(address, length), [fd]), EEXIST);
  }
  assert.is(rig.server.status.regionCount, 1);
  assert.is(rig.system.mappedCount, 1);
});

test('regions may touch', () => {
  const rig = new ServeRig();
  rig.give(0x10_000, 0x4000);
  rig.give(0x14_000, 0x1000);
  rig.give(0xf000, 0x1000);
  assert.is(rig.server.status.regionCount, 3);
});

test('address 0 can be mapped', () => {
  const rig = new ServeRig();
  rig.give(0, 0x1000);
  assert.is(rig.server.status.regionCount, 1);
});

test('65535 regions can be mapped, one more cannot, and after an unmap one can', () => {
  const rig = new ServeRig();
  const { memory } = rig.server.card.function;
  const map = (index: number): number => {
    const claim = { length: 0x1000, isReadable: true, isWritable: true, fd: -1, offset: 0 };
    return 'map' in memory && typeof memory.map === 'function'
      ? memory.map({ ...claim, address: index * 0x2000 })
      : -1;
  };
  // Odd ones first: each even one then lies between two.
  for (let i = 1; i < 65_535; i += 2) assert.is(map(i), 0);
  for (let i = 0; i < 65_535; i += 2) assert.is(map(i), 0);
  assert.is(rig.server.status.regionCount, 65_535);
  assert.is(rig.refuse(2, rig.mapping(65_535 * 0x2000, 0x1000)), ENOSPC);
  rig.done(3, unmapping(0x2000, 0x1000));
  rig.done(2, rig.mapping(65_535 * 0x2000, 0x1000));
  rig.done(3, unmapping(0, 0, 2));
  assert.is(rig.server.status.regionCount, 0);
});

test('an unmap answers with what was asked, after the memory is given up', () => {
  const rig = new ServeRig();
  rig.give(0x1000, 0x2000);
  const payload = unmapping(0x1000, 0x2000);
  assert.equal(rig.done(3, payload), payload);
  assert.is(rig.system.mappedCount, 0);
  assert.is(rig.server.status.regionCount, 0);
});

test('an unmap must name a mapping exactly', () => {
  const rig = new ServeRig();
  rig.give(0x10_000, 0x4000);
  const wrong: readonly (readonly [number, number])[] = [
    [0x10_000, 0x1000],
    [0x10_000, 0x5000],
    [0x11_000, 0x3000],
    [0xf000, 0x4000],
    [0x20_000, 0x4000],
    [0, 0],
  ];
  for (const [address, length] of wrong) {
    assert.is(rig.refuse(3, unmapping(address, length)), ENOENT);
  }
  assert.is(rig.server.status.regionCount, 1);
});

test('a region that was unmapped can be mapped again', () => {
  const rig = new ServeRig();
  rig.give(0x1000, 0x1000);
  rig.done(3, unmapping(0x1000, 0x1000));
  rig.give(0x1000, 0x3000);
  assert.is(rig.server.status.regionCount, 1);
});

test('an unmap of everything names nothing else', () => {
  const rig = new ServeRig();
  rig.give(0x1000, 0x1000);
  rig.give(0x8000, 0x1000);
  assert.is(rig.refuse(3, unmapping(0x1000, 0x1000, 2)), EINVAL);
  assert.is(rig.refuse(3, unmapping(0, 0x1000, 2)), EINVAL);
  rig.done(3, unmapping(0, 0, 2));
  assert.is(rig.server.status.regionCount, 0);
  assert.is(rig.system.mappedCount, 0);
});

test('an unmap with a bitmap, with unknown flags, or with argsz below 24 is refused', () => {
  const rig = new ServeRig();
  rig.give(0x1000, 0x1000);
  assert.is(rig.refuse(3, unmapping(0x1000, 0x1000, 1)), EOPNOTSUPP);
  assert.is(rig.refuse(3, unmapping(0x1000, 0x1000, 4)), EINVAL);
  assert.is(rig.refuse(3, pack([23, 4], [0, 4], [0x1000, 8], [0x1000, 8])), EINVAL);
  assert.is(
    rig.refuse(3, Uint8Array.from([...pack([24, 4], [0, 4]), ...beyond, ...beyond])),
    EINVAL,
  );
  assert.is(rig.server.status.regionCount, 1);
});

test('a region above 1 GiB is several mappings and one region', () => {
  const rig = new ServeRig();
  const lengths: number[] = [];
  rig.system.map = (_fd, offset, length) => {
    lengths.push(offset, length);
    return new Uint8Array(0x1000);
  };
  rig.system.unmap = () => lengths.push(-1);
  const fd = rig.system.memoryFd(new Uint8Array(16));
  rig.done(2, rig.mapping(0x1000, 0x8000_1000), [fd]);
  assert.equal(lengths, [0, 0x4000_0000, 0x4000_0000, 0x4000_0000, 0x8000_0000, 0x1000]);
  rig.done(3, unmapping(0x1000, 0x8000_1000));
  assert.equal(lengths.slice(6), [-1, -1, -1]);
});

test.run();
