import * as assert from 'uvu/assert';
import { checkWords, crc32c, crc32cOfWords, findFlippedBit } from '../../sdk/crc32c.js';
import { Prng } from '../../sim/prng.js';
import { suite } from '../support/suite.js';

const test = suite('CRC32C');

/** [RFC-3720 §B.4] gives these, with the bytes in ascending order of the CRC's value. */
const published: readonly (readonly [name: string, bytes: Uint8Array, crc: number])[] = [
  ['32 bytes of zeroes', new Uint8Array(32), 0x8a9136aa],
  ['32 bytes of ones', new Uint8Array(32).fill(0xff), 0x62a8ab43],
  ['32 bytes ascending', Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
  ['32 bytes descending', Uint8Array.from({ length: 32 }, (_, i) => 31 - i), 0x113fdb5c],
];

for (const [name, bytes, crc] of published) {
  test(`${name} have the published CRC, byte by byte and word by word`, () => {
    assert.is(crc32c(bytes), crc);
    assert.is(crc32cOfWords(new Uint32Array(bytes.buffer), 0, 8), crc);
  });
}

test("the check value of '123456789' is that of the catalogue", () => {
  assert.is(crc32c(new TextEncoder().encode('123456789')), 0xe3069283);
});

test('words and bytes agree for every length, odd ones too', () => {
  const words = new Uint32Array(37);
  const chance = new Prng(5, 'crc');
  for (let i = 0; i < words.length; i++) words[i] = chance.word();
  for (let to = 1; to <= words.length; to++) {
    const bytes = new Uint8Array(words.buffer, 4, (to - 1) * 4);
    assert.is(crc32cOfWords(words, 1, to), crc32c(bytes));
  }
});

test('each single wrong bit of a 4 KiB block is found and mended, in the data or in the CRC', () => {
  const words = new Uint32Array(1024);
  const chance = new Prng(7, 'flip');
  for (let i = 0; i < words.length; i++) words[i] = chance.word();
  const good = words.slice();
  const crc = crc32cOfWords(words, 0, 1024);
  for (let i = 0; i < 200; i++) {
    const bit = i < 2 ? i * 32_767 : chance.below(32_768);
    words[bit >>> 5]! ^= 1 << (bit & 31);
    assert.is(findFlippedBit(crc32cOfWords(words, 0, 1024) ^ crc, 1024), bit);
    assert.is(checkWords(words, { from: 0, to: 1024 }, crc), 'mended');
    assert.equal(words, good);
  }
  for (let bit = 0; bit < 32; bit++) {
    assert.is(checkWords(words, { from: 0, to: 1024 }, (crc ^ (1 << bit)) >>> 0), 'mended');
    assert.equal(words, good);
  }
});

test('two and three wrong bits are never mistaken for one', () => {
  const words = new Uint32Array(1024);
  const chance = new Prng(9, 'flips');
  const crc = crc32cOfWords(words, 0, 1024);
  for (let i = 0; i < 100; i++) {
    const bits = new Set<number>();
    while (bits.size < 2 + (i % 2)) bits.add(chance.below(32_768));
    for (const bit of bits) words[bit >>> 5]! ^= 1 << (bit & 31);
    assert.is(checkWords(words, { from: 0, to: 1024 }, crc), 'bad');
    words.fill(0);
  }
});

test.run();
