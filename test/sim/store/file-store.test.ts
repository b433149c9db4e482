import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { UltimaError } from '../../../sdk/errors.js';
import { Status } from '../../../sdk/spec/nvme/status.js';
import { Medium } from '../../../sim/nvme/medium.js';
import { Prng } from '../../../sim/prng.js';
import { FileStore } from '../../../sim/store/file-store.js';
import { blankPage, maskOf } from '../../../sim/store/page-pool.js';
import { type PageStore, unreadable } from '../../../sim/store/page-store.js';
import { suite } from '../../support/suite.js';

const test = suite('file store');
const folder = mkdtempSync(join(tmpdir(), 'ultima-store-'));
test.after(() => rmSync(folder, { recursive: true }));
let files = 0;

interface Opened {
  readonly medium: Medium;
  readonly store: PageStore;
}

function open(path: string, pageCount: number, metadataBytes = 0): Opened {
  const stores: PageStore[] = [];
  const medium = new Medium({
    hasVolatileCache: true,
    cacheBytes: 64 * 4096,
    tear: { powerFailBlocks: 8, boundaryBlocks: 0, boundaryOffset: 0 },
    chance: new Prng(1, 'file'),
    openStore: (pool, isFresh) => {
      const store = new FileStore(pool, { path, pageCount, isFresh });
      stores.push(store);
      return store;
    },
  });
  medium.reformat(512, new Uint8Array(metadataBytes));
  return { medium, store: stores[0]! };
}

function freshPath(): string {
  files++;
  return join(folder, `image ${files}`);
}

function write(medium: Medium, lba: number, tag: number): number {
  const { pool } = medium;
  const content = pool.take();
  const block = lba % 8;
  pool.dataOf(content).fill(tag, block * 512, (block + 1) * 512);
  pool.metadataOf(content).fill(tag, block * pool.metadataBytes, (block + 1) * pool.metadataBytes);
  pool.written[content] = maskOf(block, 1);
  return medium.commit(lba, 1, content, false);
}

/** First byte of a block and of its metadata, and whether it is written. */
function blockAt(medium: Medium, lba: number): number[] {
  const { pool } = medium;
  const content = medium.find(Math.floor(lba / 8));
  if (content === unreadable) return [-1];
  const block = lba % 8;
  const metadata = pool.metadataOf(content)[block * pool.metadataBytes] ?? 0;
  return [pool.dataOf(content)[block * 512]!, metadata, (pool.written[content]! >>> block) & 1];
}

test('any sequence of writes, deallocations and reopenings equals a Map of blocks', () => {
  for (const metadataBytes of [0, 8]) {
    const path = freshPath();
    const prng = new Prng(4, 'file model');
    const model = new Map<number, number>();
    let { medium } = open(path, 64, metadataBytes);
    for (let step = 1; step <= 1_500; step++) {
      const lba = prng.below(64 * 8);
      const kind = prng.below(20);
      if (kind < 14) {
        const tag = 1 + (step % 255);
        assert.is(write(medium, lba, tag), 0);
        model.set(lba, tag);
      } else if (kind < 18) {
        const count = Math.min(1 + prng.below(30), 64 * 8 - lba);
        medium.fill({ lba, count }, 'deallocated', prng.chance(0.5));
        for (let i = 0; i < count; i++) model.delete(lba + i);
      } else if (kind === 18) {
        assert.is(medium.flush(), 0);
      } else {
        medium.flush();
        medium.close();
        ({ medium } = open(path, 64, metadataBytes));
        assert.is(medium.usedBlocks, model.size);
      }
      const asked = prng.below(64 * 8);
      const tag = model.get(asked) ?? 0;
      const expected = [tag, metadataBytes === 0 ? 0 : tag, tag === 0 ? 0 : 1];
      assert.equal(blockAt(medium, asked), expected, `step ${step} block ${asked}`);
    }
    assert.is(medium.usedBlocks, model.size);
    medium.close();
  }
});

test('a file of a 4 TiB namespace takes disk space for what was written', () => {
  const path = freshPath();
  const { medium } = open(path, 2 ** 30);
  write(medium, 2 ** 33 - 1, 7);
  assert.is(medium.flush(), 0);
  assert.equal(blockAt(medium, 2 ** 33 - 1), [7, 0, 1]);
  assert.ok(statSync(path).size > 2 ** 42);
  assert.ok(statSync(path).blocks * 512 < 2 ** 20);
  medium.close();
});

test('the file starts as a raw image, and a raw image is taken as all written', () => {
  const path = freshPath();
  const image = new Uint8Array(16 * 4096);
  new Prng(1, 'image').fill(image);
  writeFileSync(path, image);
  const { medium } = open(path, 16);
  assert.is(medium.usedBlocks, 128);
  assert.equal(blockAt(medium, 77), [image[77 * 512]!, 0, 1]);
  write(medium, 5, 9);
  medium.flush();
  medium.close();
  image.fill(9, 5 * 512, 6 * 512);
  assert.equal(new Uint8Array(readFileSync(path).subarray(0, image.length)), image);
  const again = open(path, 16);
  assert.is(again.medium.usedBlocks, 128);
  again.medium.fill({ lba: 0, count: 8 }, 'deallocated', true);
  assert.is(again.medium.usedBlocks, 120);
  again.medium.close();
});

test('a file of another size or geometry is refused by name and size, and stays as it is', () => {
  const path = freshPath();
  writeFileSync(path, new Uint8Array(5000));
  assert.throws(
    () => open(path, 16),
    (error: unknown) =>
      error instanceof UltimaError &&
      error.code === 'FILE_INVALID' &&
      error.facts.sizeBytes === 5000,
  );
  assert.is(statSync(path).size, 5000);
});

test('a folder that is not there is an error of the file, named', () => {
  assert.throws(
    () => open(join(folder, 'none', 'image'), 16),
    (error: unknown) => error instanceof UltimaError && error.code === 'FILE_UNWRITABLE',
  );
});

test('a disk that is full when the card is made is an error that names the file', () => {
  assert.throws(
    () => open('/dev/full', 16),
    (error: unknown) => error instanceof UltimaError && error.facts.path === '/dev/full',
  );
});

test('a file that cannot be opened is named with the reason and what to do', () => {
  const path = '/nowhere/at/all.img';
  assert.throws(
    () => open(path, 16),
    /cannot open \/nowhere\/at\/all.img .*: ENOENT; name a file that may be written/,
  );
});

test('a file that was cut short is a block that cannot be read, never an exception', () => {
  const path = freshPath();
  const { medium } = open(path, 16);
  write(medium, 100, 1);
  medium.flush();
  truncateSync(path, 4096);
  assert.equal(blockAt(medium, 100), [-1]);
  medium.close();
});

test('a write that the file system refuses is a write fault, and the blocks stay dirty', () => {
  const path = freshPath();
  const { medium, store } = open(path, 16);
  write(medium, 3, 1);
  // The store's file is gone from under it: every access fails from here on.
  store.close();
  assert.is(medium.flush(), Status.writeFault);
  assert.is(medium.dirtyPages, 1);
  assert.equal(blockAt(medium, 3), [1, 0, 1]);
});

test('a reformat forgets the file', () => {
  const path = freshPath();
  const { medium } = open(path, 16);
  write(medium, 3, 1);
  medium.flush();
  medium.reformat(512, new Uint8Array(0));
  assert.equal(blockAt(medium, 3), [0, 0, 0]);
  assert.is(medium.find(0), blankPage);
  assert.is(medium.usedBlocks, 0);
  medium.close();
});

test.run();
