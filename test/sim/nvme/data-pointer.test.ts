import * as assert from 'uvu/assert';
import { Checker } from '../../../sim/checker.js';
import { ControllerMemoryBuffer } from '../../../sim/nvme/cmb.js';
import { Command } from '../../../sim/nvme/command.js';
import { DataPointer } from '../../../sim/nvme/data-pointer.js';
import { Dma } from '../../../sim/nvme/dma.js';
import { SimDmaSpace } from '../../../sim/pcie/dma-space.js';
import { HostMemory } from '../../../sim/pcie/host-memory.js';
import { World } from '../../../sim/world.js';
import { suite } from '../../support/suite.js';
import { putU64 } from './rig.js';

const test = suite('data pointer');
const prpOffsetInvalid = 0x13;
const dataTransferError = 0x04;

function bench(pageBytes = 4096) {
  const memory = new HostMemory();
  const space = new SimDmaSpace(memory);
  const checker = new Checker(new World());
  const buffer = new ControllerMemoryBuffer(65536);
  const dma = new Dma(memory, buffer);
  const pointer = new DataPointer(dma, checker, true);
  pointer.pageBytes = pageBytes;
  const command = new Command(0);
  const map = (length: number, options: { prp1?: number; prp2?: number; read?: boolean } = {}) => {
    command.opcode = options.read === false ? 1 : 2;
    command.words.fill(0);
    putU64(command.words, 6, options.prp1 ?? 0);
    putU64(command.words, 8, options.prp2 ?? 0);
    return pointer.map(command, length);
  };
  return { memory, space, checker, buffer, dma, pointer, command, map };
}

type Bench = ReturnType<typeof bench>;

/**
 * Lists as a host writes them: entries into `listPages`, from entry `first` of the first page on,
 * chained by the last entry of a page that has more than one to go.
 */
function writeList(pages: readonly number[], lists: readonly Uint32Array[], at: ListPlace): void {
  const slots = at.pageBytes / 8;
  let list = 0;
  let slot = at.first;
  for (let i = 0; i < pages.length; i++) {
    if (slot === slots - 1 && i < pages.length - 1) {
      list++;
      putU64(lists[list - 1]!, 2 * slot, at.iovas[list]!);
      slot = 0;
    }
    putU64(lists[list]!, 2 * slot, pages[i]!);
    slot++;
  }
}

interface ListPlace {
  readonly pageBytes: number;
  readonly first: number;
  readonly iovas: readonly number[];
}

/** Pages far apart, so that no two of them look like one piece. */
function scattered(space: SimDmaSpace, count: number, pageBytes: number): number[] {
  const region = space.allocate(2 * count * pageBytes, { alignment: pageBytes });
  return Array.from({ length: count }, (_, i) => region.iova + 2 * (count - 1 - i) * pageBytes);
}

function checkTransfer(b: Bench, plan: { offset: number; length: number; first?: number }): void {
  const pageBytes = b.pointer.pageBytes;
  const inFirst = Math.min(plan.length, pageBytes - plan.offset);
  const count = Math.ceil((plan.length - inFirst) / pageBytes);
  const pages = scattered(b.space, count + 1, pageBytes);
  const rest = pages.slice(1);
  let prp2 = rest[0] ?? 0;
  if (count > 1) {
    const listCount = 2 + Math.ceil(count / (pageBytes / 8 - 1));
    const lists = Array.from({ length: listCount }, () =>
      b.space.allocate(pageBytes, { alignment: pageBytes }),
    );
    const first = plan.first ?? 0;
    const iovas = lists.map((list) => list.iova);
    writeList(
      rest,
      lists.map((list) => list.words),
      { pageBytes, first, iovas },
    );
    prp2 = iovas[0]! + 8 * first;
  }
  assert.is(b.map(plan.length, { prp1: pages[0]! + plan.offset, prp2 }), 0);
  const { data } = b.command;
  assert.is(data.totalBytes, plan.length);
  assert.is(data.count, count + 1);
  assert.is(data.addresses[0], pages[0]! + plan.offset);
  assert.is(data.lengths[0], inFirst);
  for (let i = 0; i < count; i++) {
    if (data.addresses[i + 1] !== rest[i]) assert.unreachable(`page ${i} of ${count}`);
    const length = Math.min(pageBytes, plan.length - inFirst - i * pageBytes);
    if (data.lengths[i + 1] !== length) assert.unreachable(`length of page ${i} of ${count}`);
  }
}

test('every dword offset in the first page finds every byte of one, two and three pages', () => {
  const b = bench();
  for (let offset = 0; offset < 4096; offset += 4) {
    const inFirst = 4096 - offset;
    for (const length of [4, inFirst, inFirst + 4]) {
      const pages = [0x1_0001_0000 + offset, 0x1_0003_0000];
      assert.is(b.map(length, { prp1: pages[0]!, prp2: pages[1]! }), 0);
      const { count, lengths, addresses: starts } = b.command.data;
      assert.is(count, length <= inFirst ? 1 : 2);
      assert.is(lengths[0], Math.min(length, inFirst));
      if (count === 2) assert.is(starts[1], pages[1]);
      if (count === 2) assert.is(lengths[1], length - inFirst);
    }
  }
});

test('a transfer that ends on a page boundary needs no second pointer', () => {
  const b = bench();
  // PRP2 is nonsense here and must not be looked at.
  assert.is(b.map(512, { prp1: 0x1_0000_0e00, prp2: 3 }), 0);
  assert.is(b.map(4096, { prp1: 0x1_0000_0000, prp2: 0xdead_beef_1 }), 0);
});

test('two pages after the first need a list, one does not', () => {
  const b = bench();
  checkTransfer(b, { offset: 0, length: 8192 });
  checkTransfer(b, { offset: 0, length: 8196 });
  checkTransfer(b, { offset: 4092, length: 4100 });
  checkTransfer(b, { offset: 4092, length: 4104 });
});

for (const k of [1, 2, 3]) {
  test(`lists chain where they must around ${k} × 512 entries`, () => {
    const b = bench();
    // A list page of 512 entries carries 511 and a pointer, or 512 when they are the last ones.
    for (const entries of [-2, -1, 0, 1, 2].map((d) => k * 511 + 1 + d)) {
      if (entries < 2) continue;
      checkTransfer(b, { offset: 0, length: 4096 * (entries + 1) });
      checkTransfer(b, { offset: 2048, length: 4096 * entries + 2052 });
    }
    for (const entries of [-1, 0, 1].map((d) => k * 512 + d)) {
      checkTransfer(b, { offset: 0, length: 4096 * (entries + 1) });
    }
  });
}

test('a list may start at any entry of its page, and chains at the end of that page', () => {
  const b = bench();
  for (const first of [1, 2, 255, 508, 509, 510, 511]) {
    for (const count of [2, 3, 4, 5]) {
      checkTransfer(b, { offset: 0, length: 4096 * (count + 1), first });
    }
  }
});

test('memory pages of 16 KiB hold lists of 2048 entries', () => {
  const b = bench(16384);
  checkTransfer(b, { offset: 12288, length: 4096 + 16384 * 3 });
  checkTransfer(b, { offset: 4, length: 16384 * 2050 });
});

test('a first pointer that is not dword aligned is an invalid PRP offset', () => {
  const b = bench();
  for (const low of [1, 2, 3]) {
    assert.is(b.map(512, { prp1: 0x1_0000_0000 + low }), prpOffsetInvalid);
  }
  assert.is(b.checker.countOf('dataPointerInvalid'), 3);
});

test('a second pointer inside its page is an invalid PRP offset', () => {
  const b = bench();
  assert.is(b.map(8192, { prp1: 0x1_0000_0000, prp2: 0x1_0000_2004 }), prpOffsetInvalid);
});

test('a list entry or a chain pointer inside its page is an invalid PRP offset', () => {
  const b = bench();
  const list = b.space.allocate(8192);
  const prp1 = 0x1_0000_0000;
  for (let i = 0; i < 512; i++) putU64(list.words, 2 * i, 0x1_0010_0000 + 8192 * i);
  putU64(list.words, 2, 0x1_0000_2200);
  assert.is(b.map(4 * 4096, { prp1, prp2: list.iova }), prpOffsetInvalid);
  putU64(list.words, 2, 0x1_0000_2000);
  putU64(list.words, 2 * 511, list.iova + 4096 + 8);
  assert.is(b.map(600 * 4096, { prp1, prp2: list.iova }), prpOffsetInvalid);
});

test('a list that does not start on a whole entry is an invalid PRP offset', () => {
  const b = bench();
  const list = b.space.allocate(4096);
  const status = b.map(4 * 4096, { prp1: 0x1_0000_0000, prp2: list.iova + 4 });
  assert.is(status, prpOffsetInvalid);
});

test('a list in memory that the device cannot read is a data transfer error', () => {
  const b = bench();
  assert.is(b.map(4 * 4096, { prp1: 0x1_0000_0000, prp2: 0x9999_0000 }), dataTransferError);
  assert.is(b.memory.faultCount, 1);
});

test('addresses above 2^53 fault instead of wrapping', () => {
  const b = bench();
  b.command.words.fill(0);
  b.command.words[6] = 0;
  b.command.words[7] = 0xffff_f000;
  assert.is(b.pointer.map(b.command, 512), 0);
  assert.is(b.dma.scatter(b.command.data, new Uint8Array(512), 0, 0, 512), false);
});

test('data moves to and from the right bytes, across pieces and from any offset', () => {
  const b = bench();
  const pages = scattered(b.space, 3, 4096);
  const list = b.space.allocate(4096);
  putU64(list.words, 0, pages[1]!);
  putU64(list.words, 2, pages[2]!);
  const length = 100 + 4096 + 1000;
  assert.is(b.map(length, { prp1: pages[0]! + 3996, prp2: list.iova }), 0);
  const source = Uint8Array.from({ length: length + 7 }, (_, i) => (i * 7) % 251);
  for (let at = 0; at < length; at += 333) {
    const run = Math.min(333, length - at);
    assert.ok(b.dma.scatter(b.command.data, source, at + 7, at, run));
  }
  const back = new Uint8Array(length);
  assert.ok(b.dma.gather(b.command.data, back, 0, 0, length));
  assert.equal(back, source.subarray(7));
  const piece = new Uint8Array(50);
  assert.ok(b.dma.gather(b.command.data, piece, 0, 90, 50));
  assert.equal(piece, source.subarray(97, 147));
});

test('data and lists in the controller memory buffer are found by its controller address', () => {
  const b = bench();
  const base = 0x7_0000_0000;
  assert.ok(b.buffer.place(0, 7));
  const page = b.space.allocate(4096);
  putU64(b.buffer.words, 0, page.iova);
  putU64(b.buffer.words, 2, base + 8192);
  assert.is(b.map(4096 * 3, { prp1: base + 4096, prp2: base }), 0);
  const source = Uint8Array.from({ length: 4096 * 3 }, (_, i) => i % 253);
  assert.ok(b.dma.scatter(b.command.data, source, 0, 0, source.length));
  assert.equal(b.buffer.bytes.slice(4096, 8192), source.slice(0, 4096));
  assert.equal(page.bytes.slice(), source.slice(4096, 8192));
  assert.equal(b.buffer.bytes.slice(8192, 12288), source.slice(8192));
  assert.is(b.memory.faultCount, 0);
});

test.run();
