import * as assert from 'uvu/assert';
import { Medium, type MediumOptions } from '../../../sim/nvme/medium.js';
import { Prng } from '../../../sim/prng.js';
import { maskOf } from '../../../sim/store/page-pool.js';
import { MemoryStore } from '../../../sim/store/page-store.js';
import { suite } from '../../support/suite.js';

const test = suite('medium');

interface Setup {
  readonly seed: number;
  readonly dataBytes?: number;
  readonly metadataBytes?: number;
  readonly isVolatile?: boolean;
  readonly cacheBytes?: number;
  readonly powerFailBlocks?: number;
  readonly boundaryBlocks?: number;
}

function makeMedium(setup: Setup): Medium {
  const options: MediumOptions = {
    hasVolatileCache: setup.isVolatile ?? true,
    cacheBytes: setup.cacheBytes ?? 1 << 20,
    tear: {
      powerFailBlocks: setup.powerFailBlocks ?? 1,
      boundaryBlocks: setup.boundaryBlocks ?? 0,
      boundaryOffset: 0,
    },
    chance: new Prng(setup.seed, 'cut'),
    openStore: (pool) => new MemoryStore(pool),
  };
  const medium = new Medium(options);
  medium.reformat(setup.dataBytes ?? 512, new Uint8Array(setup.metadataBytes ?? 0));
  return medium;
}

/** Write blocks whose first four bytes are `tag`, through a chain as the executor makes it. */
function write(medium: Medium, range: { lba: number; count: number }, how: Tagged): number {
  const { pool } = medium;
  const contents: number[] = [];
  const end = range.lba + range.count;
  for (let lba = range.lba; lba < end; ) {
    const first = lba % pool.blocksPerPage;
    const run = Math.min(end - lba, pool.blocksPerPage - first);
    const content = pool.take();
    for (let i = first; i < first + run; i++) {
      pool.dataOf(content).fill(how.tag & 0xff, i * pool.dataBytes, (i + 1) * pool.dataBytes);
      const words = new Uint32Array([how.tag]);
      pool.dataOf(content).set(new Uint8Array(words.buffer), i * pool.dataBytes);
      pool
        .metadataOf(content)
        .fill(how.tag & 0xff, i * pool.metadataBytes, (i + 1) * pool.metadataBytes);
    }
    pool.written[content] = maskOf(first, run);
    contents.push(content);
    lba += run;
  }
  for (let i = 0; i + 1 < contents.length; i++) pool.next[contents[i]!] = contents[i + 1]!;
  return medium.commit(range.lba, range.count, contents[0]!, how.isForced ?? false);
}

interface Tagged {
  readonly tag: number;
  readonly isForced?: boolean;
}

/** Tag of a block, 0 when it has none; its other bytes must agree. */
function tagAt(medium: Medium, lba: number): number {
  const { pool } = medium;
  const block = lba % pool.blocksPerPage;
  const content = medium.find((lba - block) / pool.blocksPerPage);
  const at = block * pool.dataBytes;
  const bytes = pool.dataOf(content).slice(at, at + pool.dataBytes);
  const tag = new Uint32Array(bytes.buffer, 0, 1)[0]!;
  assert.ok(
    bytes.subarray(4).every((b) => b === (tag & 0xff)),
    'a block is never torn inside',
  );
  const metadata = pool.metadataOf(content);
  const own = metadata.subarray(block * pool.metadataBytes, (block + 1) * pool.metadataBytes);
  assert.ok(
    own.every((b) => b === (tag & 0xff)),
    'metadata belongs to its block',
  );
  assert.is((pool.written[content]! >>> block) & 1, tag === 0 && !zeroed.has(lba) ? 0 : 1);
  return tag;
}

const zeroed = new Set<number>();

for (const [dataBytes, metadataBytes] of [
  [512, 0],
  [512, 8],
  [4096, 64],
] as const) {
  test(`after any sequence it equals a Map of blocks, ${dataBytes} + ${metadataBytes}`, () => {
    const prng = new Prng(11, `model ${dataBytes}`);
    const medium = makeMedium({ seed: 3, dataBytes, metadataBytes, cacheBytes: 32 * 4096 });
    const model = new Map<number, number>();
    const bases = [0, 2 ** 31 - 20, 2 ** 32 - 20, 2 ** 40 - 20];
    zeroed.clear();
    for (let step = 1; step < 2_500; step++) {
      const lba = bases[prng.below(4)]! + prng.below(60);
      const count = 1 + prng.below(prng.chance(0.1) ? 60 : 12);
      const kind = prng.below(20);
      const isForced = prng.chance(0.1);
      if (kind < 14) write(medium, { lba, count }, { tag: step, isForced });
      else if (kind === 14) medium.flush();
      else if (kind === 15) medium.setCacheEnabled(prng.chance(0.5));
      else medium.fill({ lba, count }, kind < 18 ? 'deallocated' : 'zero', isForced);
      if (kind !== 14 && kind !== 15) {
        for (let i = lba; i < lba + count; i++) {
          if (kind < 14) model.set(i, step);
          else model.delete(i);
          if (kind >= 18) zeroed.add(i);
          else zeroed.delete(i);
        }
      }
      const asked = bases[prng.below(4)]! + prng.below(120);
      assert.is(tagAt(medium, asked), model.get(asked) ?? 0);
      if (step % 500 === 0) assert.is(medium.usedBlocks, model.size + zeroed.size);
    }
    const all = new Set([...model.keys(), ...zeroed]);
    for (const lba of all) assert.is(tagAt(medium, lba), model.get(lba) ?? 0);
    medium.fill({ lba: 0, count: 2 ** 41 }, 'deallocated', false);
    zeroed.clear();
    for (const lba of all) assert.is(tagAt(medium, lba), 0);
    medium.flush();
    assert.is(medium.usedBlocks, 0);
    assert.is(medium.pool.inUse, 0, 'every content was given back');
  });
}

interface Past {
  readonly tag: number;
  readonly lba: number;
  readonly count: number;
}

interface Seen {
  lost: number;
  reordered: number;
  torn: number;
}

/** Random writes, then a power cut; what each block may hold is worked out block by block. */
function cutRun(setup: Setup, seen: Seen): void {
  const prng = new Prng(setup.seed, 'cut run');
  const medium = makeMedium(setup);
  zeroed.clear();
  const unit = setup.powerFailBlocks ?? 1;
  const boundary = setup.boundaryBlocks ?? 0;
  const span = 40;
  const durable = new Array<number>(span).fill(0);
  let past: Past[] = [];
  const steps = 1 + prng.below(30);
  for (let tag = 1; tag <= steps; tag++) {
    const lba = prng.below(span - 12);
    const count = 1 + prng.below(12);
    const isForced = prng.chance(0.1);
    write(medium, { lba, count }, { tag, isForced });
    past.push({ tag, lba, count });
    if (isForced) durable.fill(tag, lba, lba + count);
    if (prng.chance(0.1)) {
      medium.flush();
      for (const old of past) durable.fill(old.tag, old.lba, old.lba + old.count);
      past = [];
    }
  }
  const before = Array.from({ length: span }, (_, lba) => tagAt(medium, lba));
  medium.cutPower();
  const after = Array.from({ length: span }, (_, lba) => tagAt(medium, lba));
  for (let lba = 0; lba < span; lba++) {
    const tag = after[lba]!;
    assert.ok(tag >= durable[lba]!, `seed ${setup.seed}: durable block ${lba} fell back`);
    const writer = past.find((old) => old.tag === tag);
    const isKnown = tag === durable[lba] || (writer !== undefined && covers(writer, lba));
    assert.ok(isKnown, `seed ${setup.seed}: block ${lba} holds what nobody wrote there`);
    if (tag !== before[lba]) seen.lost++;
  }
  const lowest = past.map((old) => survival(old, after));
  for (const [i, old] of past.entries()) {
    const isAtomic =
      old.count <= unit &&
      (boundary === 0 ||
        Math.floor(old.lba / boundary) === Math.floor((old.lba + old.count - 1) / boundary));
    const { shows, isMissing } = lowest[i]!;
    if (shows && isMissing) {
      assert.not(isAtomic, `seed ${setup.seed}: write ${old.tag} of ${old.count} blocks is torn`);
      seen.torn++;
    }
    const isEarlierLost = lowest.slice(0, i).some((earlier) => earlier.isMissing);
    if (shows && isEarlierLost) seen.reordered++;
  }
  const used = after.filter((tag) => tag > 0).length;
  assert.is(medium.usedBlocks, used, `seed ${setup.seed}: blocks in use`);
}

function covers(past: Past, lba: number): boolean {
  return lba >= past.lba && lba < past.lba + past.count;
}

/** Whether a block shows this write, and whether one shows something older. */
function survival(past: Past, after: readonly number[]): { shows: boolean; isMissing: boolean } {
  const tags = after.slice(past.lba, past.lba + past.count);
  return { shows: tags.includes(past.tag), isMissing: tags.some((tag) => tag < past.tag) };
}

for (const setup of [
  { powerFailBlocks: 1 },
  { powerFailBlocks: 4 },
  { powerFailBlocks: 12 },
  { powerFailBlocks: 16, boundaryBlocks: 8 },
  { powerFailBlocks: 2, dataBytes: 4096, metadataBytes: 8 },
]) {
  test(`a power cut keeps what is durable and whole units: ${JSON.stringify(setup)}`, () => {
    const seen: Seen = { lost: 0, reordered: 0, torn: 0 };
    for (let seed = 1; seed <= 120; seed++) cutRun({ seed, ...setup }, seen);
    assert.ok(seen.lost > 0, 'writes are lost');
    assert.ok(seen.reordered > 0, 'a later write outlives an earlier one');
    if (setup.powerFailBlocks === 12) assert.is(seen.torn, 0);
    else assert.ok(seen.torn > 0, 'writes above the unit are torn');
  });
}

test('without a volatile cache a power cut changes nothing', () => {
  const seen: Seen = { lost: 0, reordered: 0, torn: 0 };
  for (let seed = 1; seed <= 100; seed++) cutRun({ seed, isVolatile: false }, seen);
  assert.equal(seen, { lost: 0, reordered: 0, torn: 0 });
});

test('a forced deallocation of blocks that are gone already, but not durably, is durable', () => {
  for (let seed = 1; seed <= 40; seed++) {
    const medium = makeMedium({ seed });
    zeroed.clear();
    write(medium, { lba: 0, count: 2 }, { tag: 1 });
    medium.fill({ lba: 0, count: 2 }, 'deallocated', false);
    medium.fill({ lba: 0, count: 1 }, 'deallocated', true);
    medium.cutPower();
    assert.is(tagAt(medium, 0), 0, `seed ${seed}`);
  }
});

test('a full cache makes its oldest writes durable', () => {
  const medium = makeMedium({ seed: 1, dataBytes: 4096, cacheBytes: 16 * 4096 });
  zeroed.clear();
  for (let lba = 0; lba < 100; lba++) write(medium, { lba, count: 1 }, { tag: lba + 1 });
  assert.is(medium.dirtyPages, 16);
  medium.cutPower();
  for (let lba = 0; lba < 84; lba++) assert.is(tagAt(medium, lba), lba + 1);
});

test('a namespace of 4 TiB costs memory for what was written, no more', () => {
  const medium = makeMedium({ seed: 1, dataBytes: 4096, isVolatile: false });
  for (let i = 0; i < 1000; i++) write(medium, { lba: i * 1_000_003, count: 1 }, { tag: i + 1 });
  assert.is(medium.pool.inUse, 1000);
  assert.ok(medium.pool.heldPages < 1100);
});

test.run();
