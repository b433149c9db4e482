import * as assert from 'uvu/assert';
import { MemorySpace } from '../../../sdk/block/memory.js';
import { crc32cOfWords } from '../../../sdk/crc32c.js';
import { Batch, batchMagic, cellBytes, RecordKind } from '../../../sdk/volume/format.js';
import { Journal } from '../../../sdk/volume/journal.js';
import { batchAt, hiddenBlock, laterBatch, type RingView } from '../../../sdk/volume/replay.js';
import { suite } from '../../support/suite.js';

const test = suite('journal');

const blocks = 16;
const cellWords = cellBytes / 4;
const poolId = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
/** A buffer is a quarter of the ring. */
const bufferBytes = 4 * cellBytes;

function journal(block = 0, seq = 1, session = 3): Journal {
  return new Journal({ journalUnits: 1, seq, block, session, poolId, memory: new MemorySpace() });
}

function emptyRing(): RingView & { words: Uint32Array; missing: Set<number> } {
  const words = new Uint32Array(blocks * cellWords);
  return { words, missing: new Set(), blocks, poolId, session: 3 };
}

/** Put a batch of so many records where the journal says. @returns its block */
function write(ring: RingView, from: Journal, records: number): number {
  for (let i = 0; i < records; i++) from.append(RecordKind.assign, 1, 2, i, 7);
  const { region, byteLength, block } = from.seal();
  ring.words.set(region.words.subarray(0, byteLength / 4), block * cellWords);
  return block;
}

test('any one wrong bit of a batch is mended, and two of what its CRC covers are not', () => {
  const ring = emptyRing();
  write(ring, journal(), 3);
  const sound = ring.words.slice();
  const length = Batch.layout.bytes + 3 * 16;
  const checked = [...Array(length * 8).keys()];
  for (const bit of checked) {
    ring.words[bit >>> 5]! ^= 1 << (bit & 31);
    const found = batchAt(ring, 0, 1);
    assert.equal(found, { from: 0, words: length / 4, blocks: 1, isMended: true }, `bit ${bit}`);
    // The records are what was written, and so is all that the next reader looks at.
    assert.equal(ring.words.subarray(16, length / 4), sound.subarray(16, length / 4), `bit ${bit}`);
    ring.words.set(sound);
    if (bit < 64) continue;
    const other = 64 + ((bit - 64 + 37) % (length * 8 - 64));
    ring.words[bit >>> 5]! ^= 1 << (bit & 31);
    ring.words[other >>> 5]! ^= 1 << (other & 31);
    assert.is(batchAt(ring, 0, 1), null, `bits ${bit} and ${other}`);
    ring.words.set(sound);
  }
  assert.equal(batchAt(ring, 0, 1), { from: 0, words: length / 4, blocks: 1, isMended: false });
});

test('a batch of another number, session or pool is not the one that is looked for', () => {
  const ring = emptyRing();
  write(ring, journal(5, 2 ** 32 + 5), 300);
  assert.is(batchAt(ring, 5, 2 ** 32 + 5)?.blocks, 2);
  // Each differs in two bits or more: one would be mended.
  assert.is(batchAt(ring, 5, 2 ** 32 + 6), null);
  assert.is(batchAt(ring, 5, 5 + 3 * 2 ** 33), null);
  assert.is(batchAt({ ...ring, session: 4 }, 5, 2 ** 32 + 5), null);
  assert.is(batchAt({ ...ring, poolId: poolId.map((byte) => byte ^ 3) }, 5, 2 ** 32 + 5), null);
  assert.is(batchAt(ring, 6, 2 ** 32 + 5), null);
});

test('a length beyond the buffer, beyond the ring or between records is none', () => {
  for (const [block, length] of [
    [0, bufferBytes + 16],
    [15, cellBytes + 16],
    [0, Batch.layout.bytes],
    [0, Batch.layout.bytes + 24],
  ] as const) {
    const ring = emptyRing();
    write(ring, journal(block), 1);
    const from = block * cellWords;
    Batch.length.set(ring.words, from, length);
    // With the checksum that such a batch would have.
    Batch.check.set(ring.words, from, crc32cOfWords(ring.words, from + 2, from + length / 4));
    assert.is(batchAt(ring, block, 1), null, `length ${length}`);
  }
});

test('a later good batch is seen, in this session and in later ones, and older ones are not', () => {
  const ring = emptyRing();
  write(ring, journal(0, 4), 1);
  write(ring, journal(3, 7), 1);
  assert.is(laterBatch(ring, 7), null);
  assert.is(laterBatch(ring, 6), 7);
  assert.is(laterBatch(ring, 3), 4);
  assert.is(laterBatch({ ...ring, session: 4 }, 3), null, 'of an earlier session');
  assert.is(laterBatch({ ...ring, session: 2 }, 9), 4, 'a later session, whatever its number');
  ring.words[17]! ^= 0x0101;
  assert.is(laterBatch(ring, 3), 7, 'a bad one does not count');
});

test('a block that cannot be read hides what starts or goes on in it', () => {
  const ring = emptyRing();
  const from = journal(2, 9);
  write(ring, from, 600);
  const { missing } = ring;
  // 64 + 600 × 16 bytes are three blocks: 2, 3 and 4.
  for (const [block, hidden] of [
    [1, null],
    [2, 2],
    [3, 3],
    [4, 4],
    [5, null],
    [0, null],
  ] as const) {
    missing.clear();
    missing.add(block);
    assert.is(hiddenBlock(ring, 2, 9), hidden, `block ${block}`);
  }
  // Four blocks fit before the end from block 12 on; from block 13 on the batch may be at 0.
  for (const [start, hidden] of [
    [12, null],
    [13, 0],
  ] as const) {
    missing.clear();
    missing.add(0);
    assert.is(hiddenBlock(ring, start, 12), hidden, `from block ${start}`);
  }
});

test('room in the buffer is what it has, less what is in it and what was promised', () => {
  const one = journal();
  const most = (bufferBytes - Batch.layout.bytes) / 16;
  assert.is(one.promise(most), true);
  assert.is(one.promise(1), false);
  one.breakPromise(most);
  assert.is(one.promise(most + 1), false);
  for (let i = 0; i < most - 10; i++) one.append(RecordKind.unmap, 1, 1, i, 0);
  // A change of the catalog takes its record and its JSON, and one record stays free.
  assert.is(one.hasRoom(8 * 16), true);
  assert.is(one.hasRoom(8 * 16 + 1), false);
  assert.is(one.promise(3), true);
  assert.is(one.hasRoom(5 * 16), true);
  assert.is(one.hasRoom(5 * 16 + 1), false);
  assert.is(one.promise(7), true);
  assert.is(one.promise(1), false);
  assert.is(one.fullness, 1);
});

test('a batch is placed where it fits, never over the end and never over what is needed', () => {
  for (const [head, tail, records, fits, block] of [
    [0, 0, 1, true, 0],
    [13, 10, 700, true, 13],
    [13, 10, 800, true, 0],
    // 3 used, 3 lost at the end, 4 for the batch: 10 of 16. Then tails that leave less.
    [13, 4, 800, false, 0],
    [13, 5, 800, true, 0],
    [14, 15, 1, false, 14],
    [13, 15, 1, true, 13],
  ] as const) {
    const one = journal(head);
    one.tail = tail;
    for (let i = 0; i < records; i++) one.append(RecordKind.unmap, 1, 1, i, 0);
    const what = `head ${head}, tail ${tail}, ${records} records`;
    assert.is(one.fitsRing, fits, what);
    const taken = Math.ceil((Batch.layout.bytes + records * 16) / cellBytes);
    const sealed = one.seal();
    assert.is(sealed.block, block, what);
    assert.is(sealed.byteLength, taken * cellBytes, what);
    assert.is(one.head, (block + taken) % blocks, what);
    assert.is(sealed.region.words[0], batchMagic);
  }
});

test.run();
