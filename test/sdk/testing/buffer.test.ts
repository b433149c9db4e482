import * as assert from 'uvu/assert';
import { open } from '../../../sdk/open.js';
import { hexDump, type Pattern, TestBuffer } from '../../../sdk/testing/buffer.js';
import { suite } from '../../support/suite.js';

const test = suite('test buffers');

const fn = await open('sim:simple');
test.after(() => fn.close());

const patterns: readonly Pattern[] = [
  { kind: 'zeroes' },
  { kind: 'ones' },
  { kind: 'word', word: 0x1234_5678 },
  { kind: 'counting', first: 9 },
  { kind: 'random', seed: 4 },
];

for (const pattern of patterns) {
  test(`a buffer filled with ${pattern.kind} holds it, and one changed byte is found`, () => {
    const buffer = TestBuffer.allocate(fn.dma, 4099).fill(pattern);
    assert.ok(buffer.holds(pattern));
    buffer.bytes[4098]! ^= 1;
    assert.is(buffer.firstDifference(pattern), 4098);
  });
}

test('a 32-bit word is laid out little endian', () => {
  const buffer = TestBuffer.allocate(fn.dma, 8).fill({ kind: 'word', word: 0x0102_0304 });
  assert.equal([...buffer.bytes], [4, 3, 2, 1, 4, 3, 2, 1]);
});

test('filling a slice leaves the rest', () => {
  const buffer = TestBuffer.allocate(fn.dma, 64).fill({ kind: 'zeroes' });
  buffer.slice(16, 8).fill({ kind: 'ones' });
  assert.ok(buffer.slice(0, 16).holds({ kind: 'zeroes' }));
  assert.ok(buffer.slice(16, 8).holds({ kind: 'ones' }));
  assert.ok(buffer.slice(24).holds({ kind: 'zeroes' }));
  assert.is(buffer.slice(16).iova, buffer.iova + 16);
});

test('a slice beyond its buffer is refused', () => {
  const buffer = TestBuffer.allocate(fn.dma, 64);
  assert.throws(() => buffer.slice(60, 8), RangeError);
  assert.throws(() => buffer.slice(-4, 4), RangeError);
});

test('a hex dump shows offset, bytes and text', () => {
  const bytes = new TextEncoder().encode('NVM Express\u0000\u007fabcdef');
  assert.equal(hexDump(bytes).split('\n'), [
    '000000  4e 56 4d 20 45 78 70 72 65 73 73 00 7f 61 62 63  |NVM Express..abc|',
    `000010  64 65 66${' '.repeat(39)}  |def|`,
  ]);
});

test.run();
