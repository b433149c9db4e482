import * as assert from 'uvu/assert';
import { openSimulated } from '../../../sim/open.js';
import { suite } from '../../support/suite.js';
import { putU64, Rig } from './rig.js';

const test = suite('controller memory buffer');
const bytes = 65536;
const bar = 2;
const base = 0x40_0000_0000;

function rigWith(memoryBufferBytes = bytes): Rig {
  return new Rig({ changes: { controller: { memoryBufferBytes } } });
}

function place(rig: Rig, address = base): void {
  rig.write(0x54, Math.floor(address / 2 ** 32));
  rig.write(0x50, ((address % 2 ** 32) | 3) >>> 0);
}

test('CMBLOC and CMBSZ are 0 until CRE is set, and then describe the buffer', () => {
  const rig = rigWith();
  assert.is((rig.read(4) >>> 25) & 1, 1, 'CAP.CMBS');
  assert.equal([rig.read(0x38), rig.read(0x3c)], [0, 0]);
  rig.write(0x50, 1);
  assert.is(rig.read(0x38) & 7, bar, 'BIR');
  assert.is(rig.read(0x3c) & 0x1f, 0x1f, 'SQS, CQS, LISTS, RDS, WDS');
  assert.is((rig.read(0x3c) >>> 12) * 4096, bytes, 'SZ in units of 4 KiB');
});

test('a controller without one has no CMB registers', () => {
  const rig = rigWith(0);
  rig.write(0x50, 3);
  assert.is((rig.read(4) >>> 25) & 1, 0);
  assert.equal([rig.read(0x38), rig.read(0x3c), rig.read(0x50)], [0, 0, 0]);
});

test('the host reads through the BAR what it wrote through the BAR', () => {
  const rig = rigWith();
  rig.write(0x50, 1);
  rig.controller.writeBar(bar, 4092, 0x1234_5678);
  assert.is(rig.controller.readBar(bar, 4092), 0x1234_5678);
});

test('a base that no 53-bit address can name is invalid, and CMBSTS says so', () => {
  const rig = rigWith();
  rig.write(0x54, 0xffff_ffff);
  rig.write(0x50, 3);
  assert.is(rig.read(0x58), 1);
  place(rig);
  assert.is(rig.read(0x58), 0);
});

test('queues and data in the buffer work, and the data comes back through the BAR', () => {
  const rig = rigWith();
  place(rig);
  rig.enable();
  const services = rig.controller.services;
  const shape = { queueId: 1, entries: 16, isContiguous: true } as const;
  const cq = { ...shape, address: base + 4096, areInterruptsEnabled: false, vector: 0 };
  assert.is(services.createCompletionQueue(cq), 0);
  const sq = { ...shape, address: base, priority: 0, completionQueueId: 1 };
  assert.is(services.createSubmissionQueue(sq), 0);
  const source = Uint8Array.from({ length: 8192 }, (_, i) => i % 249);
  rig.io.onBegin = (command) => {
    const status = services.mapData(command, 8192) || services.toHost(command, source, 0, 0, 8192);
    services.complete(command, status);
  };
  const words = new Uint32Array(16);
  words[0] = 2 | (77 << 16);
  putU64(words, 6, base + 8192);
  putU64(words, 8, base + 16384);
  words.forEach((word, i) => {
    rig.controller.writeBar(bar, 4 * i, word);
  });
  rig.write(0x1008, 1);
  rig.run();
  assert.is(rig.controller.readBar(bar, 4096 + 12) & 0x1ffff, 77 | (1 << 16));
  assert.is(rig.controller.readBar(bar, 4096 + 12) >>> 17, 0);
  for (const at of [0, 4096 - 4]) {
    const word = new DataView(source.buffer).getUint32(at, true);
    assert.is(rig.controller.readBar(bar, 8192 + at) >>> 0, word);
  }
  const second = new DataView(source.buffer).getUint32(4096, true);
  assert.is(rig.controller.readBar(bar, 16384) >>> 0, second);
  rig.checker.demandNone();
});

test('a controller reset keeps the buffer where it is, a function reset takes it away', () => {
  const rig = rigWith();
  place(rig);
  rig.enable();
  rig.controller.writeBar(bar, 0, 5);
  rig.write(0x14, 0);
  rig.run();
  assert.is(rig.controller.readBar(bar, 0), 5);
  assert.is(rig.read(0x50) & 3, 3);
  rig.controller.reset('function');
  assert.is(rig.read(0x50), 0);
});

test('a host finds the buffer where CMBLOC says, in a BAR of its function', () => {
  const card = openSimulated(`sim:simple?controller.memoryBufferBytes=${bytes}`);
  const fn = card.open();
  fn.config.write16(4, fn.config.read16(4) | 6);
  const registers = fn.bar(0);
  registers.write32(0x50, 1);
  const window = fn.bar(registers.read32(0x38) & 7);
  assert.is(window.length, bytes);
  window.write32(bytes - 4, 0xcafe_f00d);
  assert.is(window.read32(bytes - 4), 0xcafe_f00d);
  card.checker.demandNone();
});

test.run();
