import * as assert from 'uvu/assert';
import { DataPointers, listPagesFor } from '../../../sdk/nvme/data-pointer.js';
import { suite } from '../../support/suite.js';
import { FakeFunction } from './fake-function.js';

const test = suite('data pointers');
const page = 4096;

interface Laid {
  readonly fn: FakeFunction;
  readonly sqe: Uint32Array;
  readonly data: DataPointers;
}

function pointers(listPages: number, sglAlignment = 1): Laid {
  const fn = new FakeFunction();
  const data = new DataPointers(fn.dma, { pageBytes: page, slotCount: 4, listPages, sglAlignment });
  return { fn, data, sqe: new Uint32Array(16) };
}

/** What the device finds when it follows the command's data pointer, by the fake's own reading. */
function seen({ fn, sqe }: Laid, length: number): { count: number; bytes: number } {
  const pieces = fn.pieces(sqe, length);
  const bytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
  assert.equal(fn.dma.faults, []);
  return { count: pieces.length, bytes };
}

/** The device's view of a transfer names exactly the caller's bytes, in order. */
function holds(laid: Laid, caller: Uint8Array, length: number): void {
  const pieces = laid.fn.pieces(laid.sqe, length);
  let at = 0;
  for (const piece of pieces) {
    assert.is(piece.buffer, caller.buffer);
    assert.is(piece.byteOffset, caller.byteOffset + at);
    at += piece.length;
  }
  assert.is(at, length);
  assert.equal(laid.fn.dma.faults, []);
}

test('PRPs name the right bytes for lengths around a full list page, in both chain forms', () => {
  // A list page holds 512 entries; 511 of them are data when the list goes on.
  for (const listPages of [1, 2, 3]) {
    const laid = pointers(listPages);
    const region = laid.fn.dma.allocate((listPages * 512 + 4) * page);
    for (const offset of [0, 4, 512, page - 4]) {
      for (let k = 1; k <= listPages; k++) {
        for (let entries = k * 512 - 3; entries <= k * 512 + 3; entries++) {
          const length = entries * page;
          if (Math.ceil((offset + length) / page) > laid.data.maxPages) continue;
          laid.data.layRange(laid.sqe, 0, 1, region, offset, length);
          holds(laid, region.bytes.subarray(offset), length);
          const segments = one(region, offset, length);
          laid.data.layAll(laid.sqe, 0, 2, segments, length, false);
          holds(laid, region.bytes.subarray(offset), length);
        }
      }
    }
  }
});

test('PRPs name the right bytes for every short length and every first-page offset', () => {
  const laid = pointers(1);
  const region = laid.fn.dma.allocate(8 * page);
  for (let offset = 0; offset < page; offset += 4) {
    for (const length of [
      4,
      512,
      page - offset,
      page - offset + 4,
      page,
      2 * page,
      3 * page + 512,
    ]) {
      laid.data.layRange(laid.sqe, 0, 0, region, offset, length);
      holds(laid, region.bytes.subarray(offset), length);
    }
  }
});

test('a transfer that ends on a page boundary needs no second PRP, and PRP2 is unmapped', () => {
  const laid = pointers(1);
  const region = laid.fn.dma.allocate(2 * page);
  laid.sqe.fill(0xffff_ffff);
  laid.data.layRange(laid.sqe, 0, 0, region, 512, page - 512);
  assert.is(laid.sqe[8], 0);
  assert.is(laid.sqe[9], 0);
});

test('list entries that a shorter transfer leaves over point to unmapped memory', () => {
  const laid = pointers(1);
  const region = laid.fn.dma.allocate(64 * page);
  laid.data.layRange(laid.sqe, 0, 3, region, 0, 64 * page);
  laid.data.layRange(laid.sqe, 0, 3, region, 0, 10 * page);
  const list = laid.data.region.words.subarray(laid.data.listAt(3), laid.data.listAt(3) + 1024);
  assert.is(
    list.subarray(0, 18).every((word, i) => i % 2 === 1 || word !== 0),
    true,
  );
  assert.is(
    list.subarray(18).every((word) => word === 0),
    true,
  );
});

test('an SGL of 1, 2 and the most entries says so in PSDT and names the right bytes', () => {
  const laid = pointers(1);
  const region = laid.fn.dma.allocate(512 * page);
  for (const count of [1, 2, 255, 256]) {
    const segments = {
      segmentCount: count,
      regions: Array.from({ length: count }, () => region),
      offsets: Array.from({ length: count }, (_, i) => i * 1024 + 3),
      lengths: Array.from({ length: count }, () => 512),
    };
    laid.sqe.fill(0);
    const length = count * 512;
    assert.is(laid.data.reachSgl(segments, { segment: 0, offset: 0 }, length), length);
    laid.data.layAll(laid.sqe, 0, 0, segments, length, true);
    // PSDT is bits 15:14 of dword 0; 01b is SGL with a metadata address [NVMe-2.0 §3.3.3.1 PSDT].
    assert.is((laid.sqe[0]! >>> 14) & 3, 1);
    assert.equal(seen(laid, length), { count, bytes: length });
  }
});

test('an unaligned single SGL entry is refused when the controller wants dwords', () => {
  const laid = pointers(1, 4);
  const region = laid.fn.dma.allocate(page);
  const from = { segment: 0, offset: 0 };
  assert.is(laid.data.reachSgl(one(region, 2, 512), from, 512), 0);
  assert.is(laid.data.reachSgl(one(region, 4, 510), from, 510), 0);
  assert.is(laid.data.reachSgl(one(region, 4, 512), from, 512), 512);
});

test('PRPs stop where a segment does not continue on a page', () => {
  const { fn, data } = pointers(1);
  const region = fn.dma.allocate(16 * page);
  const reach = (offsets: number[], lengths: number[]) =>
    data.reach(
      { segmentCount: offsets.length, regions: offsets.map(() => region), offsets, lengths },
      { segment: 0, offset: 0 },
      lengths.reduce((sum, length) => sum + length, 0),
    );
  assert.is(reach([0, 8 * page], [page, page]), 2 * page);
  assert.is(reach([512, 8 * page], [page - 512, page]), 2 * page - 512);
  // The second piece starts inside a page.
  assert.is(reach([0, 8 * page + 512], [page, page]), page);
  // The first piece ends inside a page.
  assert.is(reach([0, 8 * page], [512, page]), 512);
  // A first address that is no multiple of four.
  assert.is(reach([2], [512]), 0);
});

test('list memory is enough for the worst offset of every transfer size', () => {
  for (const pages of [1, 2, 511, 512, 513, 1023, 1024, 2000]) {
    const listPages = listPagesFor(pages * page, page);
    const { data } = pointers(listPages);
    assert.ok(data.maxPages >= pages + 1);
  }
});

function one(region: ReturnType<FakeFunction['dma']['allocate']>, offset: number, length: number) {
  return { segmentCount: 1, regions: [region], offsets: [offset], lengths: [length] };
}

test.run();
