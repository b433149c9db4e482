import * as assert from 'uvu/assert';
import { StampBook } from '../../../sdk/testing/stamps.js';
import { suite } from '../../support/suite.js';

const test = suite('block stamps');

const blockBytes = 512;

/** A book, and the bytes of `count` blocks stamped at a version. */
function stamped(book: StampBook, lba: number, options: { count?: number; version: number }) {
  const bytes = new Uint8Array((options.count ?? 1) * blockBytes);
  book.stamp(bytes, lba, options.version);
  return bytes;
}

test('what was written checks, on any run of blocks', () => {
  const book = new StampBook(1, blockBytes);
  const bytes = stamped(book, 2 ** 40, { count: 3, version: 1 });
  book.wrote(2 ** 40, 3, 1);
  assert.is(book.check(bytes, 2 ** 40), undefined);
  assert.is(book.check(bytes.subarray(blockBytes), 2 ** 40 + 1), undefined);
});

test('the block of another address is named as such', () => {
  const book = new StampBook(1, blockBytes);
  book.wrote(7, 1, 1);
  const fault = book.check(stamped(book, 8, { version: 1 }), 7);
  assert.is(fault?.lba, 7);
  assert.is(fault?.foundLba, 8);
  assert.is(fault?.offset, 0);
});

test('an old version is a fault', () => {
  const book = new StampBook(1, blockBytes);
  book.wrote(7, 1, 2);
  const fault = book.check(stamped(book, 7, { version: 1 }), 7);
  assert.equal([fault?.expectedVersion, fault?.foundVersion], [2, 1]);
});

test('the same block of another run is a fault', () => {
  const book = new StampBook(1, blockBytes);
  book.wrote(7, 1, 1);
  assert.is(book.check(stamped(new StampBook(2, blockBytes), 7, { version: 1 }), 7)?.offset, 12);
});

test('one wrong byte anywhere in the block is found, at its dword', () => {
  const book = new StampBook(1, blockBytes);
  book.wrote(7, 1, 1);
  for (let at = 0; at < blockBytes; at++) {
    const bytes = stamped(book, 7, { version: 1 });
    bytes[at]! ^= 0x40;
    const offset = book.check(bytes, 7)?.offset;
    // A wrong version makes the dwords before it differ too: the first difference is named.
    assert.ok(offset !== undefined && offset <= at);
  }
});

test('a block that was never written is not checked', () => {
  const book = new StampBook(1, blockBytes);
  assert.is(book.check(new Uint8Array(blockBytes).fill(0xa5), 3), undefined);
});

test('after a write of unknown outcome both versions are good, and nothing else is', () => {
  const book = new StampBook(1, blockBytes);
  book.wrote(7, 1, 1);
  for (const version of [1, 2]) {
    book.mayHaveWritten(7, 1, 2);
    assert.is(book.check(stamped(book, 7, { version }), 7), undefined);
    book.wrote(7, 1, 1);
  }
  book.mayHaveWritten(7, 1, 2);
  assert.ok(book.check(stamped(book, 7, { version: 3 }), 7) !== undefined);
});

test('half of each version in one block is a fault', () => {
  const book = new StampBook(1, blockBytes);
  book.wrote(7, 1, 1);
  book.mayHaveWritten(7, 1, 2);
  const torn = stamped(book, 7, { version: 2 });
  torn.set(stamped(book, 7, { version: 1 }).subarray(blockBytes / 2), blockBytes / 2);
  assert.is(book.check(torn, 7)?.offset, blockBytes / 2);
});

test('a read settles which version an unknown write left', () => {
  const book = new StampBook(1, blockBytes);
  book.wrote(7, 1, 1);
  book.mayHaveWritten(7, 1, 2);
  assert.is(book.check(stamped(book, 7, { version: 2 }), 7), undefined);
  assert.ok(book.check(stamped(book, 7, { version: 1 }), 7) !== undefined);
});

test('a block first written with unknown outcome may hold anything until then', () => {
  const book = new StampBook(1, blockBytes);
  book.mayHaveWritten(7, 1, 1);
  assert.is(book.check(new Uint8Array(blockBytes), 7), undefined);
  assert.is(book.check(stamped(book, 7, { version: 1 }), 7), undefined);
  assert.ok(book.check(new Uint8Array(blockBytes), 7) !== undefined);
});

test('a forgotten block is not checked', () => {
  const book = new StampBook(1, blockBytes);
  book.wrote(7, 2, 1);
  book.forget(7, 1);
  assert.is(book.check(new Uint8Array(blockBytes), 7), undefined);
  assert.ok(book.check(new Uint8Array(blockBytes), 8) !== undefined);
});

test.run();
