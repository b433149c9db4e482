import * as assert from 'uvu/assert';
import { suite } from '../../support/suite.js';
import { EINVAL, EOPNOTSUPP, hex, pack, ServeRig, u32, u64 } from './rig.js';

const test = suite('vfio-user region access');

const config = 7;

test('vendor and device identifier are the first dword of configuration space', () => {
  assert.equal(new ServeRig().read(config, 0, 4), hex('aa 55 01 00'));
});

test('a read answers with its offset, region and count before the data', () => {
  const rig = new ServeRig();
  const answer = rig.done(9, rig.access(config, 0x2c, 4));
  assert.equal(answer.slice(0, 16), hex('2c 00 00 00 00 00 00 00  07 00 00 00  04 00 00 00'));
  assert.is(answer.length, 20);
});

test('a write answers with its offset, region and count, without the data', () => {
  const rig = new ServeRig();
  const answer = rig.done(10, rig.access(config, 0x3c, 1, hex('0b')));
  assert.equal(answer, hex('3c 00 00 00 00 00 00 00  07 00 00 00  01 00 00 00'));
});

test('configuration space is read at any offset and length', () => {
  const rig = new ServeRig();
  const whole = rig.read(config, 0, 4096);
  assert.is(whole.length, 4096);
  for (const [offset, count] of [
    [0, 1],
    [1, 1],
    [3, 2],
    [2, 4],
    [0x0a, 2],
    [5, 200],
    [4095, 1],
  ] as const) {
    assert.equal(rig.read(config, offset, count), whole.slice(offset, offset + count));
  }
  assert.equal(whole.slice(9, 12), hex('02 08 01'), 'an NVMe controller');
});

test('configuration space is written at any offset: only the bytes of the write change', () => {
  const rig = new ServeRig();
  // BAR 0 is at 10h; its address bits above 32 KiB are writable.
  rig.done(10, rig.access(config, 0x10, 8, hex('00 00 00 00 00 00 00 00')));
  rig.done(10, rig.access(config, 0x13, 2, hex('7f 21')));
  assert.equal(rig.read(config, 0x10, 8), hex('04 00 00 7f 21 00 00 00'));
});

test('all-ones in BAR 0 read back as the size of the region', () => {
  const rig = new ServeRig();
  rig.done(10, rig.access(config, 0x10, 8, new Uint8Array(8).fill(0xff)));
  const low = u32(rig.read(config, 0x10, 4), 0);
  const info = rig.done(5, pack([32, 4], [0, 4], [0, 4], [0, 4], [0, 16]));
  assert.is(2 ** 32 - (low - (low % 16)), u64(info, 16));
});

test('an access of no bytes does nothing and succeeds', () => {
  const rig = new ServeRig();
  assert.is(rig.read(config, 0, 0).length, 0);
  rig.done(10, rig.access(0, 0x14, 0));
});

test('the version register of BAR 0 says 1.4 or 2.0', () => {
  assert.ok([0x0001_0400, 0x0002_0000].includes(u32(new ServeRig().read(0, 8, 4), 0)));
});

test('a 64-bit register is read in one access', () => {
  const rig = new ServeRig();
  const cap = rig.read(0, 0, 8);
  assert.equal(cap.slice(0, 4), rig.read(0, 0, 4));
  assert.equal(cap.slice(4), rig.read(0, 4, 4));
  assert.is(u32(cap, 0) & 0xffff, 4095, 'CAP.MQES is the last index of 4096 entries');
});

test('registers are read in part', () => {
  const rig = new ServeRig();
  const whole = rig.read(0, 0, 64);
  assert.equal(rig.read(0, 5, 1), whole.slice(5, 6));
  assert.equal(rig.read(0, 6, 7), whole.slice(6, 13));
});

test('a 64-bit register is written in one access, low dword and high', () => {
  const rig = new ServeRig();
  rig.done(10, rig.access(0, 0x28, 8, pack([0x12_3456_7000, 8])));
  assert.is(u64(rig.read(0, 0x28, 8), 0), 0x12_3456_7000);
});

test('a register is not written in part', () => {
  const rig = new ServeRig();
  for (const [offset, count] of [
    [0x14, 1],
    [0x14, 2],
    [0x15, 4],
    [0x14, 6],
    [0x16, 2],
  ] as const) {
    const payload = rig.access(0, offset, count, new Uint8Array(count).fill(0xff));
    assert.is(rig.refuse(10, payload), EINVAL, `${count} bytes at ${offset}`);
  }
  assert.is(u32(rig.read(0, 0x14, 4), 0), 0);
});

test('the end of a region is the end of its accesses', () => {
  const rig = new ServeRig();
  const bytes = u64(rig.done(5, pack([64, 4], [0, 4], [0, 4], [0, 4], [0, 16])), 16);
  rig.read(0, bytes - 4, 4);
  assert.is(rig.refuse(9, rig.access(0, bytes - 4, 5)), EINVAL);
  assert.is(rig.refuse(9, rig.access(0, bytes, 1)), EINVAL);
  assert.is(rig.refuse(9, rig.access(config, 4095, 2)), EINVAL);
  assert.is(rig.refuse(10, rig.access(0, bytes, 4, hex('00 00 00 00'))), EINVAL);
});

test('offsets that wrap around are refused', () => {
  const rig = new ServeRig();
  const all = hex('ff ff ff ff ff ff ff ff');
  const far = Uint8Array.from([...all, ...pack([0, 4], [4, 4])]);
  assert.is(rig.refuse(9, far), EINVAL);
  assert.is(rig.refuse(10, Uint8Array.from([...far, ...pack([0, 4])])), EINVAL);
});

test('a count beyond the region is refused, however large', () => {
  const rig = new ServeRig();
  for (const count of [4097, 1_048_577, 0xffff_ffff]) {
    assert.is(rig.refuse(9, rig.access(config, 0, count)), EINVAL);
  }
});

test('regions that the device lacks have no bytes to access', () => {
  const rig = new ServeRig();
  for (const region of [1, 3, 4, 5, 6, 8]) {
    assert.is(rig.refuse(9, rig.access(region, 0, 1)), EINVAL, `region ${region}`);
    assert.is(rig.refuse(10, rig.access(region, 0, 4, hex('00 00 00 00'))), EINVAL);
  }
});

test('regions that do not exist are refused, also for no bytes', () => {
  const rig = new ServeRig();
  for (const region of [9, 0xffff_ffff]) assert.is(rig.refuse(9, rig.access(region, 0, 0)), EINVAL);
});

test('a write whose data is not as long as its count is refused', () => {
  const rig = new ServeRig();
  assert.is(rig.refuse(10, rig.access(config, 0x3c, 2, hex('01'))), EINVAL);
  assert.is(rig.refuse(10, rig.access(config, 0x3c, 2, hex('01 02 03'))), EINVAL);
  assert.is(rig.refuse(10, rig.access(config, 0x3c, 4)), EINVAL);
  assert.equal(rig.read(config, 0x3c, 4), hex('00 01 00 00'), 'the pin is read-only');
});

test('registers read as all-ones while memory decoding is off', () => {
  const rig = new ServeRig();
  rig.done(10, rig.access(config, 4, 2, hex('00 00')));
  assert.equal(rig.read(0, 8, 4), hex('ff ff ff ff'));
  rig.done(10, rig.access(config, 4, 2, hex('02 00')));
  assert.not.equal(rig.read(0, 8, 4), hex('ff ff ff ff'));
});

const item = (region: number, offset: number, count: number, data: number): Uint8Array =>
  pack([offset, 8], [region, 4], [count, 4], [data, 8]);
const multi = (...items: readonly Uint8Array[]): Uint8Array =>
  Uint8Array.from([...pack([items.length, 8]), ...items.flatMap((bytes) => [...bytes])]);

test('many writes in one message are made in their order, and their number comes back', () => {
  const rig = new ServeRig();
  const answer = rig.done(
    15,
    multi(
      item(config, 0x3c, 1, 0x11),
      item(config, 0x3c, 1, 0x22),
      item(0, 0x28, 8, 0x9_8765_4000),
      item(0, 0x30, 4, 0x1000),
    ),
  );
  assert.equal(answer, pack([4, 8]));
  assert.equal(rig.read(config, 0x3c, 1), hex('22'));
  assert.is(u64(rig.read(0, 0x28, 8), 0), 0x9_8765_4000);
  assert.is(u32(rig.read(0, 0x30, 4), 0), 0x1000);
});

test('no writes in one message are none', () => {
  assert.equal(new ServeRig().done(15, multi()), pack([0, 8]));
});

test('one wrong write of many is refused before any is made', () => {
  const good = item(config, 0x3c, 1, 0x11);
  const wrong = [
    item(config, 4096, 1, 0),
    item(9, 0, 1, 0),
    item(config, 0x3c, 9, 0),
    item(0, 0x15, 1, 0),
    Uint8Array.from([...new Uint8Array(8).fill(0xff), ...pack([7, 4], [1, 4], [0, 8])]),
  ];
  for (const bad of wrong) {
    const rig = new ServeRig();
    assert.is(rig.refuse(15, multi(good, bad)), EINVAL);
    assert.equal(rig.read(config, 0x3c, 1), hex('00'));
  }
});

test('a number of writes that the message does not hold is refused', () => {
  const rig = new ServeRig();
  const one = item(config, 0x3c, 1, 0x11);
  for (const count of [0, 2, 2 ** 32, 2 ** 52]) {
    assert.is(rig.refuse(15, Uint8Array.from([...pack([count, 8]), ...one])), EINVAL);
  }
  const huge = Uint8Array.from([...new Uint8Array(8).fill(0xff), ...one]);
  assert.is(rig.refuse(15, huge), EINVAL);
  assert.is(rig.refuse(15, Uint8Array.from([...pack([1, 8]), ...one.subarray(0, -1)])), EINVAL);
});

test('many writes in one message are refused to a peer that did not ask for them', () => {
  const rig = new ServeRig({ isNegotiated: false });
  rig.negotiate('{"capabilities":{"max_msg_fds":8}}\0');
  assert.is(rig.refuse(15, multi(item(config, 0x3c, 1, 0x11))), EOPNOTSUPP);
});

test('a device reset keeps what was programmed into configuration space', () => {
  const rig = new ServeRig();
  rig.done(10, rig.access(config, 4, 2, hex('06 00')));
  rig.done(10, rig.access(config, 0x10, 8, hex('00 00 00 c0 03 00 00 00')));
  rig.done(13, hex(''));
  assert.equal(rig.read(config, 4, 2), hex('06 00'));
  assert.equal(rig.read(config, 0x10, 8), hex('04 00 00 c0 03 00 00 00'));
});

test('a device reset brings registers back to their defaults', () => {
  const rig = new ServeRig();
  rig.write32(0, 0x24, 0x001f_001f);
  assert.is(u32(rig.read(0, 0x24, 4), 0), 0x001f_001f);
  rig.done(13, hex(''));
  assert.is(u32(rig.read(0, 0x24, 4), 0), 0);
});

test.run();
