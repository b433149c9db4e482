import * as assert from 'uvu/assert';
import type { Bar, Clock, DmaOptions, DmaRegion, DmaSpace } from '../../../sdk/device.js';
import { RawCommand, RawCompletionQueue, RawSubmissionQueue } from '../../../sdk/nvme/raw.js';
import { writePrpList } from '../../../sdk/nvme/raw-command.js';
import { Sqe } from '../../../sdk/spec/nvme/command.js';
import { Cqe } from '../../../sdk/spec/nvme/completion.js';
import { suite } from '../../support/suite.js';

const test = suite('raw queues');

/** Memory without a device, from address 1 MiB on. */
class PlainSpace implements DmaSpace {
  readonly regions: DmaRegion[] = [];
  private next = 0x10_0000;

  allocate(length: number, options: DmaOptions = {}): DmaRegion {
    const alignment = options.alignment ?? 4096;
    const iova = Math.ceil(this.next / alignment) * alignment;
    this.next = iova + length;
    const bytes = new Uint8Array(Math.ceil(length / 4) * 4);
    const words = new Uint32Array(bytes.buffer);
    const region = { bytes, words, iova, length, space: this, isFreed: false };
    this.regions.push(region);
    return region;
  }

  free(): void {}
}

/** Doorbells that are only remembered. */
function owner() {
  const rung: [offset: number, value: number][] = [];
  const bar: Bar = {
    index: 0,
    length: 0x4000,
    read32: () => 0,
    write32: (offset, value) => {
      rung.push([offset, value]);
    },
  };
  const clock: Clock = { nowNs: () => 0, idle: () => undefined, turn: () => Promise.resolve() };
  let cid = 0;
  return { rung, bar, fn: { clock }, observer: undefined, takeCid: () => ++cid };
}

function queues(entries: number) {
  const space = new PlainSpace();
  const own = owner();
  const sq = new RawSubmissionQueue(own, {
    id: 1,
    entries,
    region: space.allocate(entries * 64),
    doorbell: 0x1008,
  });
  const cq = new RawCompletionQueue(own, {
    id: 1,
    entries,
    region: space.allocate(entries * 16),
    doorbell: 0x100c,
  });
  return { sq, cq, rung: own.rung };
}

/** What a device writes into a slot. */
function complete(
  cq: RawCompletionQueue,
  slot: number,
  entry: { cid: number; phase: number },
): void {
  const at = cq.at(slot);
  Cqe.cid.set(cq.region.words, at, entry.cid);
  Cqe.sqid.set(cq.region.words, at, 1);
  Cqe.p.set(cq.region.words, at, entry.phase);
}

test('commands go to slots in turn, and the doorbell carries the next free one', () => {
  const { sq, rung } = queues(3);
  for (let i = 0; i < 4; i++) {
    sq.post(new RawCommand(0x80 + i));
    sq.ring();
  }
  assert.equal(rung, [
    [0x1008, 1],
    [0x1008, 2],
    [0x1008, 0],
    [0x1008, 1],
  ]);
  assert.equal(
    [0, 1, 2].map((slot) => Sqe.opc.get(sq.region.words, sq.at(slot))),
    [0x83, 0x81, 0x82],
  );
});

test('all sixteen dwords of a slot are written: nothing of an older command stays', () => {
  const { sq } = queues(2);
  sq.region.words.fill(0xffff_ffff);
  sq.post(new RawCommand(2, 1));
  const words = [...sq.region.words.subarray(0, 16)];
  assert.equal(words.slice(1), [1, ...new Array<number>(14).fill(0)]);
  assert.equal([...sq.region.words.subarray(16, 32)], new Array<number>(16).fill(0xffff_ffff));
});

test('a command gets an identifier unless it has chosen one', () => {
  const { sq } = queues(4);
  assert.is(sq.post(new RawCommand(2)), 1);
  assert.is(sq.post(new RawCommand(2).cid(0xffff)), 0xffff);
  assert.is(sq.post(new RawCommand(2)), 2);
});

test('an entry is new when its phase is that of the pass, and the phase inverts at each wrap', () => {
  const { cq } = queues(2);
  assert.is(cq.take(), undefined);
  complete(cq, 0, { cid: 5, phase: 1 });
  complete(cq, 1, { cid: 6, phase: 1 });
  assert.equal([cq.take()?.cid, cq.take()?.cid], [5, 6]);
  // Both slots still hold the phase of the first pass.
  assert.is(cq.take(), undefined);
  complete(cq, 0, { cid: 7, phase: 0 });
  assert.is(cq.take()?.cid, 7);
  assert.is(cq.take(), undefined);
});

test('looking for one completion keeps the others for whoever waits for them', () => {
  const { cq, rung } = queues(8);
  for (let i = 0; i < 3; i++) complete(cq, i, { cid: 10 + i, phase: 1 });
  assert.is(cq.find(1, 12)?.cid, 12);
  assert.equal(rung, [[0x100c, 3]]);
  assert.is(cq.find(1, 11)?.cid, 11);
  assert.is(cq.next()?.cid, 10);
  assert.is(cq.next(), undefined);
});

test('a completion of another submission queue is not the one waited for', () => {
  const { cq } = queues(8);
  complete(cq, 0, { cid: 10, phase: 1 });
  assert.is(cq.find(2, 10), undefined);
  assert.is(cq.find(1, 10)?.cid, 10);
});

test('taking does not ring: slots go back to the device only by hand', () => {
  const { cq, rung } = queues(4);
  complete(cq, 0, { cid: 1, phase: 1 });
  cq.take();
  assert.equal(rung, []);
  cq.ring();
  assert.equal(rung, [[0x100c, 1]]);
});

/** Pages that a device finds when it walks PRP1, PRP2 and the lists, page by page. */
function walk(command: RawCommand, space: PlainSpace, length: number): number[] {
  const [prp1, prp2] = [Sqe.prp1.get(command.words, 0), Sqe.prp2.get(command.words, 0)];
  const pages = [prp1];
  const count = Math.ceil((length + (prp1 % 4096)) / 4096);
  if (count === 1) return pages;
  if (count === 2) return [...pages, prp2];
  let list = prp2;
  let left = count - 1;
  for (;;) {
    const region = space.regions.find(
      ({ iova, length: bytes }) => list >= iova && list < iova + bytes,
    );
    assert.ok(region !== undefined);
    const entry = (i: number) => {
      const at = (list - region!.iova) / 4 + 2 * i;
      return region!.words[at]! + region!.words[at + 1]! * 2 ** 32;
    };
    const here = left <= 512 ? left : 511;
    for (let i = 0; i < here; i++) pages.push(entry(i));
    left -= here;
    if (left === 0) return pages;
    list = entry(511);
  }
}

for (const length of [1, 4096, 4097, 8192, 8193, 512 * 4096, 513 * 4096, 514 * 4096, 1600 * 4096]) {
  for (const offset of [0, 8, 4092]) {
    test(`${length} bytes at offset ${offset} are the pages that the memory has`, () => {
      const space = new PlainSpace();
      const data = { iova: 0x2_0000_0000 + offset, length };
      const command = new RawCommand(2).prp(data, space, 4096);
      const expected = [data.iova];
      for (let page = 0x2_0000_1000; page < data.iova + length; page += 4096) expected.push(page);
      assert.equal(walk(command, space, length), expected);
    });
  }
}

test('a list of exactly one page has no chain pointer, one entry more has one', () => {
  for (const [entries, lists] of [
    [512, 1],
    [513, 2],
    [1023, 2],
    [1024, 3],
  ] as const) {
    const space = new PlainSpace();
    writePrpList(
      Array.from({ length: entries }, (_, i) => (i + 1) * 4096),
      space,
      4096,
    );
    assert.is(space.regions.length, lists, `${entries} entries`);
  }
});

test.run();
