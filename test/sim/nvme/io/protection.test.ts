import * as assert from 'uvu/assert';
import { Status } from '../../../../sdk/spec/nvme/status.js';
import { crc16 } from '../../../../sim/nvme/io/protection.js';
import { Prng } from '../../../../sim/prng.js';
import { suite } from '../../../support/suite.js';
import {
  compare,
  copy,
  deallocate,
  type Protect,
  read,
  verify,
  write,
  writeZeroes,
} from './commands.js';
import { makeNamespace, pattern, Rig, type RigOptions } from './rig.js';

const test = suite('protection information');

/** CRC-16 T10-DIF bit by bit, as the polynomial division is written on paper. */
function divide(bytes: Uint8Array): number {
  let rest = 0;
  for (const byte of bytes) {
    for (let bit = 7; bit >= 0; bit--) {
      const isOut = (rest & 0x8000) !== 0;
      rest = ((rest << 1) & 0xffff) | ((byte >> bit) & 1);
      if (isOut) rest ^= 0x8bb7;
    }
  }
  for (let bit = 0; bit < 16; bit++) {
    const isOut = (rest & 0x8000) !== 0;
    rest = (rest << 1) & 0xffff;
    if (isOut) rest ^= 0x8bb7;
  }
  return rest;
}

function crc(bytes: Uint8Array): number {
  return crc16(0, bytes, 0, bytes.length);
}

test('the guard has the check value of CRC-16/T10-DIF and the vectors of the T10 standard', () => {
  assert.is(crc(new TextEncoder().encode('123456789')), 0xd0db);
  assert.is(crc(new Uint8Array(32)), 0x0000);
  assert.is(crc(new Uint8Array(32).fill(0xff)), 0xa293);
  assert.is(crc(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x0224);
  assert.is(crc(Uint8Array.from({ length: 32 }, (_, i) => 0xff - i)), 0xa0b7);
});

test('the guard equals polynomial division of any bytes', () => {
  const prng = new Prng(5, 'crc');
  for (let i = 0; i < 200; i++) {
    const bytes = new Uint8Array(prng.below(100));
    prng.fill(bytes);
    assert.is(crc(bytes), divide(bytes));
  }
});

interface Tuple {
  readonly guard: number;
  readonly app: number;
  readonly ref: number;
}

function put(metadata: Uint8Array, at: number, tuple: Tuple): void {
  const view = new DataView(metadata.buffer, metadata.byteOffset);
  view.setUint16(at, tuple.guard);
  view.setUint16(at + 2, tuple.app);
  view.setUint32(at + 4, tuple.ref);
}

function tupleAt(metadata: Uint8Array, at: number): Tuple {
  const view = new DataView(metadata.buffer, metadata.byteOffset);
  return { guard: view.getUint16(at), app: view.getUint16(at + 2), ref: view.getUint32(at + 4) };
}

const checkAll: Protect = { guard: 1, app: 1, ref: 1, lbatm: 0xffff };

/** Namespaces of 512 + 8, 4096 + 8 and 4096 + 64 with every type and position. */
function* setups(): Generator<RigOptions & { metadataBytes: number; dataBytes: number }> {
  for (const protectionType of [1, 2, 3]) {
    yield { formatIndex: 1, protectionType, metadataBytes: 8, dataBytes: 512 };
    yield { formatIndex: 3, protectionType, metadataBytes: 8, dataBytes: 4096 };
    for (const isProtectionFirst of [true, false]) {
      yield {
        formatIndex: 4,
        protectionType,
        isProtectionFirst,
        metadataBytes: 64,
        dataBytes: 4096,
      };
    }
  }
}

test('what PRACT inserts is guard, application tag and a reference that counts on, big endian', () => {
  for (const setup of setups()) {
    const rig = new Rig(makeNamespace(setup));
    const { metadataBytes, dataBytes } = setup;
    const range = { lba: 1000, count: 3 };
    const data = pattern(3, 3 * dataBytes);
    const own = pattern(4, 3 * metadataBytes);
    const tags = { pract: 1, lbat: 0x1234, ilbrt: 1000 };
    assert.is(rig.run(write(range, data, tags, own)).status, 0);
    const metadata = new Uint8Array(3 * metadataBytes);
    assert.is(rig.run(read(range, new Uint8Array(data.length), {}, metadata)).status, 0);
    for (let i = 0; i < 3; i++) {
      const block = data.subarray(i * dataBytes, (i + 1) * dataBytes);
      const at = setup.isProtectionFirst === true ? 0 : metadataBytes - 8;
      // Last: the metadata before it is covered, and kept as the host gave it.
      const before = own.subarray(i * metadataBytes, i * metadataBytes + at);
      const got = metadata.subarray(i * metadataBytes, (i + 1) * metadataBytes);
      assert.equal(tupleAt(metadata, i * metadataBytes + at), {
        guard: divide(Uint8Array.from([...block, ...before])),
        app: 0x1234,
        ref: setup.protectionType === 3 ? 1000 : 1000 + i,
      });
      assert.equal(got.subarray(0, at), before);
    }
  }
});

test('PRACT strips eight bytes of metadata and passes longer metadata on', () => {
  const short = new Rig(makeNamespace({ formatIndex: 1, protectionType: 2 }));
  const data = pattern(1, 1024);
  const range = { lba: 8, count: 2 };
  assert.is(short.run(write(range, data, { pract: 1, ilbrt: 77 })).status, 0);
  const back = new Uint8Array(1024);
  assert.is(short.run(read(range, back, { pract: 1, ...checkAll, ilbrt: 77 })).status, 0);
  assert.equal(back, data);
  assert.is(
    short.run(read(range, back, { pract: 1, ...checkAll, ilbrt: 78 })).status,
    Status.referenceTagCheckError,
  );
});

test('each check finds its own fault on read, write and verify, and none when it is off', () => {
  for (const setup of setups()) {
    const { metadataBytes, dataBytes, protectionType } = setup;
    const rig = new Rig(makeNamespace(setup));
    const at = setup.isProtectionFirst === true ? 0 : metadataBytes - 8;
    const lba = 500;
    const data = pattern(9, dataBytes);
    const good = { guard: 0, app: 0xabcd, ref: lba };
    const metadata = pattern(2, metadataBytes);
    good.guard = divide(Uint8Array.from([...data, ...metadata.subarray(0, at)]));
    const checks = {
      guard: { tuple: { ...good, guard: good.guard ^ 1 }, status: Status.guardCheckError },
      app: { tuple: { ...good, app: 0xabcc }, status: Status.applicationTagCheckError },
      ref: { tuple: { ...good, ref: lba + 1 }, status: Status.referenceTagCheckError },
    };
    for (const name of ['guard', 'app', 'ref'] as const) {
      if (name === 'ref' && protectionType === 3) continue;
      const { tuple, status } = checks[name];
      const tags = { lbat: 0xabcd, lbatm: 0xffff, ilbrt: lba };
      const range = { lba, count: 1 };
      put(metadata, at, tuple);
      assert.is(rig.run(write(range, data, { ...tags, [name]: 1 }, metadata)).status, status);
      assert.is(rig.run(write(range, data, tags, metadata)).status, 0, 'off: stored as it is');
      const room = new Uint8Array(metadataBytes);
      const into = new Uint8Array(dataBytes);
      assert.is(rig.run(read(range, into, { ...tags, [name]: 1 }, room)).status, status);
      assert.is(rig.run(verify(range, { ...tags, [name]: 1 })).status, status);
      assert.is(rig.run(read(range, into, tags, room)).status, 0);
      assert.equal(tupleAt(room, at), tuple);
    }
    put(metadata, at, good);
    const ref = protectionType === 3 ? 0 : 1;
    const tags = { ...checkAll, ref, lbat: 0xabcd, ilbrt: lba };
    assert.is(rig.run(write({ lba, count: 1 }, data, tags, metadata)).status, 0);
  }
});

test('only the bits in the mask of the application tag are compared', () => {
  const rig = new Rig(makeNamespace({ formatIndex: 1, protectionType: 1 }));
  const range = { lba: 5, count: 1 };
  rig.run(write(range, pattern(1, 512), { pract: 1, lbat: 0x12ff, ilbrt: 5 }));
  const statusOf = (lbat: number, lbatm: number) =>
    rig.run(verify(range, { app: 1, lbat, lbatm })).status;
  assert.is(statusOf(0x1200, 0xff00), 0);
  assert.is(statusOf(0x1200, 0xffff), Status.applicationTagCheckError);
  assert.is(statusOf(0xffff, 0), 0);
});

test('the escape values turn checks off: the application tag alone in types 1 and 2, both in 3', () => {
  for (const protectionType of [1, 2, 3]) {
    const rig = new Rig(makeNamespace({ formatIndex: 1, protectionType }));
    const metadata = new Uint8Array(8);
    const statusOf = (tuple: Tuple) => {
      put(metadata, 0, tuple);
      return rig.run(write({ lba: 9, count: 1 }, pattern(1, 512), { guard: 1 }, metadata)).status;
    };
    const escaped = { guard: 1, app: 0xffff, ref: 0xffff_ffff };
    assert.is(statusOf(escaped), 0);
    const half = protectionType === 3 ? Status.guardCheckError : 0;
    assert.is(statusOf({ ...escaped, ref: 9 }), half);
    assert.is(statusOf({ ...escaped, app: 0 }), Status.guardCheckError);
  }
});

test('type 1 wants the low dword of the LBA as reference, type 3 no reference check at all', () => {
  const lba = 2 ** 32 + 17;
  for (const [protectionType, ilbrt, status] of [
    [1, 17, 0],
    [1, 18, Status.invalidProtectionInformation],
    [2, 18, 0],
    [3, 17, Status.invalidProtectionInformation],
  ] as const) {
    const rig = new Rig(makeNamespace({ formatIndex: 1, protectionType }));
    rig.run(write({ lba, count: 1 }, pattern(1, 512), { pract: 1, ilbrt }));
    assert.is(rig.run(verify({ lba, count: 1 }, { ref: 1, ilbrt })).status, status);
  }
});

test('a reference tag counts past 2^32 from zero again', () => {
  const rig = new Rig(makeNamespace({ formatIndex: 1, protectionType: 1 }));
  const range = { lba: 2 ** 32 - 1, count: 2 };
  rig.run(write(range, pattern(1, 1024), { pract: 1, ilbrt: 0xffff_ffff }));
  const metadata = new Uint8Array(16);
  const flags = { ...checkAll, app: 0, ilbrt: 0xffff_ffff };
  assert.is(rig.run(read(range, new Uint8Array(1024), flags, metadata)).status, 0);
  assert.is(tupleAt(metadata, 8).ref, 0);
});

test('deallocated blocks carry all-ones and pass every check', () => {
  const rig = new Rig(makeNamespace({ formatIndex: 4, protectionType: 1 }));
  rig.run(write({ lba: 0, count: 2 }, pattern(1, 8192), { pract: 1 }, new Uint8Array(128)));
  rig.run(deallocate([{ lba: 1, count: 1 }]));
  const metadata = new Uint8Array(128);
  const data = new Uint8Array(8192);
  assert.is(rig.run(read({ lba: 0, count: 2 }, data, { ...checkAll, app: 0 }, metadata)).status, 0);
  assert.equal(data.subarray(4096), new Uint8Array(4096));
  assert.equal(metadata.subarray(64, 120), new Uint8Array(56));
  assert.equal(metadata.subarray(120), new Uint8Array(8).fill(0xff));
});

test('write zeroes makes information with PRACT and refuses checks without it', () => {
  const rig = new Rig(makeNamespace({ formatIndex: 1, protectionType: 1 }));
  const range = { lba: 40, count: 9 };
  rig.run(write(range, pattern(1, 9 * 512), { pract: 1, ilbrt: 40 }));
  assert.is(rig.run(writeZeroes(range, { pract: 1, lbat: 7, ilbrt: 40 })).status, 0);
  const tags = { ...checkAll, lbat: 7, ilbrt: 40 };
  const data = new Uint8Array(9 * 512);
  assert.is(rig.run(read(range, data, tags, new Uint8Array(72))).status, 0);
  assert.equal(data, new Uint8Array(9 * 512));
  const { status } = rig.run(writeZeroes(range, { guard: 1 }));
  assert.is(status, Status.invalidProtectionInformation);
});

test('compare looks at metadata but not at protection information', () => {
  const rig = new Rig(makeNamespace({ formatIndex: 4, protectionType: 1 }));
  const data = pattern(1, 4096);
  const metadata = pattern(2, 64);
  rig.run(write({ lba: 0, count: 1 }, data, { pract: 1 }, metadata));
  const other = metadata.slice();
  other.fill(0, 56);
  assert.is(rig.run(compare({ lba: 0, count: 1 }, data, {}, other)).status, 0);
  other[55]! ^= 1;
  assert.is(rig.run(compare({ lba: 0, count: 1 }, data, {}, other)).status, Status.compareFailure);
});

const pract = 8;
const checkRef = 1;

test('a copy with PRACT on both sides gets the tags of its target', () => {
  const rig = new Rig(makeNamespace({ formatIndex: 1, protectionType: 1 }));
  rig.run(write({ lba: 10, count: 12 }, pattern(1, 12 * 512), { pract: 1, ilbrt: 10 }));
  const flags = { prinfor: pract | checkRef, prinfow: pract, eilbrt: 10, ilbrt: 301 };
  assert.is(rig.run(copy([{ lba: 10, count: 12 }], 301, flags)).status, 0);
  const check = { ...checkAll, app: 0, ilbrt: 301 };
  const data = new Uint8Array(12 * 512);
  const range = { lba: 301, count: 12 };
  assert.is(rig.run(read(range, data, check, new Uint8Array(96))).status, 0);
  assert.equal(data, pattern(1, 12 * 512));
});

test('a copy without PRACT keeps the tags, and its write check sees that they are the old ones', () => {
  const rig = new Rig(makeNamespace({ formatIndex: 1, protectionType: 2 }));
  rig.run(write({ lba: 10, count: 2 }, pattern(1, 1024), { pract: 1, ilbrt: 10 }));
  const source = [{ lba: 10, count: 2 }];
  assert.is(rig.run(copy(source, 300)).status, 0);
  assert.is(rig.run(verify({ lba: 300, count: 2 }, { ref: 1, ilbrt: 10 })).status, 0);
  const strict = { prinfow: checkRef, ilbrt: 300 };
  assert.is(rig.run(copy(source, 300, strict)).status, Status.referenceTagCheckError);
  assert.is(rig.run(copy(source, 300, { prinfor: pract })).status, Status.invalidField);
});

test('a namespace without protection ignores PRINFO', () => {
  const rig = new Rig(makeNamespace({ formatIndex: 1 }));
  const metadata = pattern(1, 8);
  const flags = { ...checkAll, pract: 1, ilbrt: 99 };
  assert.is(rig.run(write({ lba: 0, count: 1 }, pattern(1, 512), flags, metadata)).status, 0);
  const room = new Uint8Array(8);
  assert.is(rig.run(read({ lba: 0, count: 1 }, new Uint8Array(512), flags, room)).status, 0);
  assert.equal(room, metadata);
});

test.run();
