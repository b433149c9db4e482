import * as assert from 'uvu/assert';
import { BlockOp } from '../../../sdk/block/request.js';
import { Shadow } from '../../../sdk/trace/shadow.js';
import { stampBlocks } from '../../../sdk/trace/stamp.js';
import { Verifier } from '../../../sdk/trace/verify.js';
import { suite } from '../../support/suite.js';

const test = suite('verification');
const stamp = { blockWords: 128, token: 77 };
const { write, discard, writeZeroes } = BlockOp;

/** A shadow of 100 blocks and what a read of block `lba` with this content is found to be. */
function rig() {
  const shadow = new Shadow();
  shadow.touch(0, 100);
  const floors = new Uint32Array(1);
  const look = (lba: number, words: Uint32Array): string => {
    const verifier = new Verifier({ stamp, shadow, initial: 'zeroes', keep: 1 });
    shadow.snapshot(lba, 1, floors);
    verifier.check({ lba, count: 1, at: 0, request: 0, timeNs: 0 }, words, floors);
    return verifier.first[0]?.kind ?? 'right';
  };
  const change = (op: BlockOp, lba: number, version: number, isDone = true): void => {
    shadow.begin(op, lba, 1, version);
    shadow.end(op, lba, 1, version, isDone);
  };
  return { shadow, look, change };
}

function block(lba: number, version: number): Uint32Array {
  const words = new Uint32Array(stamp.blockWords);
  stampBlocks(stamp, words, 0, lba, 1, version);
  return words;
}

const zeroes = new Uint32Array(stamp.blockWords);
const ones = new Uint32Array(stamp.blockWords).fill(0xffff_ffff);

test('a block that was never written holds zeroes and nothing else', () => {
  const { look } = rig();
  assert.is(look(5, zeroes), 'right');
  assert.is(look(5, ones), 'foreign');
  assert.is(look(5, block(5, 1)), 'early');
});

test('a written block holds the last version, not zeroes, not an older or another one', () => {
  const { look, change } = rig();
  change(write, 5, 3);
  change(write, 5, 8);
  assert.is(look(5, block(5, 8)), 'right');
  assert.is(look(5, block(5, 3)), 'stale');
  assert.is(look(5, block(5, 9)), 'early');
  assert.is(look(5, block(6, 8)), 'misplaced');
  assert.is(look(5, zeroes), 'lost');
});

test('any single word that changes is seen, the first and the last included', () => {
  const { look, change } = rig();
  change(write, 5, 3);
  for (let i = 0; i < stamp.blockWords; i++) {
    const words = block(5, 3);
    words[i]! ^= 1;
    assert.is.not(look(5, words), 'right', `word ${i}`);
  }
});

test('while a write is under way its block holds the old or the new version', () => {
  const { look, change, shadow } = rig();
  change(write, 5, 3);
  shadow.begin(write, 5, 1, 4);
  assert.is(look(5, block(5, 3)), 'right');
  assert.is(look(5, block(5, 4)), 'right');
  assert.is(look(5, zeroes), 'lost');
  shadow.end(write, 5, 1, 4, true);
  assert.is(look(5, block(5, 3)), 'stale');
});

test('a write that failed may or may not be there', () => {
  const { look, change } = rig();
  change(write, 5, 3);
  change(write, 5, 4, false);
  assert.is(look(5, block(5, 3)), 'right');
  assert.is(look(5, block(5, 4)), 'right');
  assert.is(look(5, zeroes), 'lost');
});

test('a discarded block holds zeroes, ones or what it held, until it is written again', () => {
  const { look, change } = rig();
  change(write, 5, 3);
  change(write, 5, 4);
  change(discard, 5, 5);
  for (const content of [zeroes, ones, block(5, 4)]) assert.is(look(5, content), 'right');
  assert.is(look(5, block(5, 3)), 'stale');
  change(write, 5, 6);
  assert.is(look(5, block(5, 4)), 'stale');
  assert.is(look(5, zeroes), 'lost');
  assert.is(look(5, ones), 'foreign');
});

test('a zeroed block holds zeroes only, also after a discard of it', () => {
  const { look, change } = rig();
  change(write, 5, 3);
  change(writeZeroes, 5, 4);
  assert.is(look(5, zeroes), 'right');
  assert.is(look(5, block(5, 3)), 'stale');
  assert.is(look(5, ones), 'foreign');
  change(discard, 5, 5);
  assert.is(look(5, block(5, 3)), 'stale');
});

test('block 0 and a block above 2^32 carry their own address', () => {
  const { look, change } = rig();
  change(write, 0, 1);
  assert.is(look(0, block(0, 1)), 'right');
  assert.is(look(0, block(2 ** 32, 1)), 'misplaced');
  assert.is.not(block(2 ** 32, 1)[4], block(0, 1)[4]);
});

test('changed runs name each changed block once, ascending, and no other', () => {
  const shadow = new Shadow();
  shadow.touch(0, 20_000);
  for (const [lba, count] of [
    [10, 3],
    [4094, 5],
    [12, 4],
    [9000, 1],
  ] as const) {
    shadow.begin(write, lba, count, 1);
    shadow.end(write, lba, count, 1, true);
  }
  const found: number[] = [];
  for (const { lba, count } of shadow.changedRuns(4)) {
    assert.ok(count <= 4);
    for (let i = 0; i < count; i++) found.push(lba + i);
  }
  assert.equal(found, [10, 11, 12, 13, 14, 15, 4094, 4095, 4096, 4097, 4098, 9000]);
});

test.run();
