import * as assert from 'uvu/assert';
import {
  bits,
  count0,
  type Field,
  repeat,
  struct,
  u32,
  u64,
  wide,
} from '../../../sdk/spec/layout.js';
import { suite } from '../../support/suite.js';

const test = suite('register and structure tables');

const refuses = (bytes: number, fields: () => Record<string, Field>, pattern: RegExp) =>
  assert.throws(() => struct({ title: 'T', cite: '', bytes }, fields()), pattern);

test('two fields that share a bit are refused', () => {
  refuses(4, () => ({ a: bits(0, 7, 0, 'a'), b: bits(0, 9, 7, 'b') }), /T\.b overlaps/);
});

test('a bit field inside a 64-bit field is refused', () => {
  refuses(8, () => ({ a: u64(0, 'a'), b: bits(4, 31, 31, 'b') }), /T\.b overlaps/);
});

test('a byte string that touches a bit field is refused', () => {
  refuses(8, () => ({ a: bits(4, 8, 8, 'a'), b: wide(2, 4, 'raw', 'b') }), /T\.b overlaps/);
});

test('neighbours that share a dword but no bit are accepted', () => {
  struct(
    { title: 'T', cite: '', bytes: 8 },
    { a: bits(0, 15, 0, 'a'), b: wide(2, 3, 'raw', 'b'), c: bits(4, 31, 8, 'c') },
  );
});

test('a field that ends outside the structure is refused', () => {
  refuses(4, () => ({ a: u64(0, 'a') }), /T\.a ends outside/);
  refuses(8, () => ({ a: wide(4, 5, 'raw', 'a') }), /T\.a ends outside/);
  refuses(8, () => ({ a: u32(8, 'a') }), /T\.a ends outside/);
  const item = struct({ title: 'I', cite: '', bytes: 8 }, { a: u64(0, 'a') });
  refuses(16, () => ({ a: repeat(8, 2, item, 'a') }), /T\.a ends outside/);
});

test('a repeated structure claims every dword of its items', () => {
  const item = struct({ title: 'I', cite: '', bytes: 8 }, { a: u32(0, 'a') });
  refuses(24, () => ({ a: repeat(0, 2, item, 'a'), b: u32(12, 'b') }), /T\.b overlaps/);
});

test('a field that does not start in a dword is refused', () => {
  assert.throws(() => bits(2, 7, 0, 'a'), /starts in a dword/);
  assert.throws(() => u64(6, 'a'), /starts in a dword/);
  const item = struct({ title: 'I', cite: '', bytes: 4 }, {});
  assert.throws(() => repeat(2, 1, item, 'a'), /starts in a dword/);
});

test('bits that run backwards or leave the dword are refused', () => {
  assert.throws(() => bits(0, 3, 4, 'a'), /bits are 31\.\.0/);
  assert.throws(() => bits(0, 32, 0, 'a'), /bits are 31\.\.0/);
});

test('a structure that is not whole dwords is refused', () => {
  refuses(6, () => ({}), /not whole dwords/);
});

test('a store changes the bits of its field and no other', () => {
  const field = bits(4, 18, 7, 'a');
  const words = new Uint32Array([0xffff_ffff, 0xffff_ffff, 0xffff_ffff]);
  field.set(words, 0, 0);
  assert.equal([...words], [0xffff_ffff, 0xfff8_007f, 0xffff_ffff]);
  field.set(words, 0, 0xabc);
  assert.is(words[1], (0xfff8_007f | (0xabc << 7)) >>> 0);
  assert.is(field.get(words, 0), 0xabc);
});

test("a 0's based count of n is stored as n - 1, up to the full width", () => {
  const field = count0(0, 31, 16, 'a');
  const words = new Uint32Array(1);
  field.set(words, 0, 1);
  assert.is(words[0], 0);
  field.set(words, 0, 0x1_0000);
  assert.is(words[0], 0xffff_0000);
  assert.is(field.get(words, 0), 0x1_0000);
  const full = count0(0, 31, 0, 'a');
  full.set(words, 0, 2 ** 32);
  assert.is(words[0], 0xffff_ffff);
  assert.is(full.get(words, 0), 2 ** 32);
});

test('of and put on a value say the same as get and set in memory', () => {
  const field = bits(0, 30, 20, 'a');
  assert.is(field.put(0xffff_ffff, 0x123), (0x800f_ffff | (0x123 << 20)) >>> 0);
  assert.is(field.of(field.put(0, 0x7ff)), 0x7ff);
});

test('a 64-bit field keeps the low dword first and is exact below 2^53', () => {
  const field = u64(8, 'a');
  const words = new Uint32Array(5);
  field.set(words, 1, 0x1f_ffff_ffff_ffff);
  assert.equal([...words], [0, 0, 0, 0xffff_ffff, 0x1f_ffff]);
  assert.is(field.get(words, 1), Number.MAX_SAFE_INTEGER);
  assert.is(field.isExact(words, 1), true);
  words[4] = 0x20_0000;
  assert.is(field.isExact(words, 1), false);
});

test('text is padded with blanks and read without them', () => {
  const field = wide(2, 6, 'text', 'a');
  const words = new Uint32Array(2);
  field.setText(words, 0, 'AB');
  assert.equal([...new Uint8Array(words.buffer)], [0, 0, 0x41, 0x42, 0x20, 0x20, 0x20, 0x20]);
  assert.is(field.text(words, 0), 'AB');
});

test('a wide count is little endian', () => {
  const field = wide(0, 16, 'count', 'a');
  const words = new Uint32Array([1, 0, 0, 2]);
  assert.is(field.count(words, 0), (2n << 96n) + 1n);
  field.setCount(words, 0, 0x1_0000_0000n);
  assert.equal([...words], [0, 1, 0, 0]);
});

test.run();
