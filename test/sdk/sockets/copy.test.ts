import * as assert from 'uvu/assert';
import { native, theKernel } from '../../../native/index.js';
import { copyBytes, setCopier } from '../../../sdk/sockets/copy.js';
import { Prng } from '../../../sim/prng.js';
import { suite } from '../../support/suite.js';

const test = suite('sdk/sockets copy');

/** Byte by byte, into a fresh array: the model. */
function expected(source: Uint8Array, from: number, into: Uint8Array, to: number, length: number) {
  const result = Array.from(into);
  const piece = Array.from({ length }, (_, i) => source[from + i]!);
  for (const [i, byte] of piece.entries()) result[to + i] = byte;
  return result;
}

function tryAll(seed: number): void {
  const prng = new Prng(seed, 'copies');
  // Views that start in the middle of their buffers, as those of devices do.
  const whole = Uint8Array.from({ length: 5000 }, () => prng.below(256));
  const source = new Uint8Array(whole.buffer, 40, 4000);
  const target = new Uint8Array(new ArrayBuffer(5000), 24, 3000);
  for (let i = 0; i < 400; i++) {
    const length = i === 0 ? 3000 : prng.below(prng.below(2) === 0 ? 130 : 3001);
    const from = prng.below(4000 - length + 1);
    const to = prng.below(3000 - length + 1);
    const wanted = expected(source, from, target, to, length);
    copyBytes(source, from, target, to, length);
    assert.equal(Array.from(target), wanted);
  }
  // Within one array the ranges may overlap.
  const wanted = expected(source, 0, source, 100, 3000);
  copyBytes(source, 0, source, 100, 3000);
  assert.equal(Array.from(source), wanted);
}

test('a copy by views is the one that a loop makes', () => tryAll(1));

test('a range outside its array is refused before a byte is moved', () => {
  const source = new Uint8Array(200).fill(1);
  const target = new Uint8Array(200);
  assert.throws(() => copyBytes(source, 101, target, 0, 100), /outside its source/);
  assert.throws(() => copyBytes(source, 0, target, 101, 100), /outside its target/);
  assert.throws(() => copyBytes(source, -1, target, 0, 100), /outside its source/);
  assert.throws(() => copyBytes(source, 0, target, -1, 100), /outside its target/);
  assert.ok(target.every((byte) => byte === 0));
});

if (native.isAvailable) {
  test('a copy by the addon is the one that a loop makes, and what is outside stays refused', () => {
    let calls = 0;
    const { copyBytes: copy } = theKernel();
    setCopier((...words) => {
      calls++;
      copy(...words);
    });
    tryAll(2);
    assert.ok(calls > 100, 'the addon was hardly asked');
    const before = calls;
    const bytes = new Uint8Array(200);
    assert.throws(() => copyBytes(bytes, 101, bytes, 0, 100), /outside its source/);
    assert.is(calls, before);
  });
}

test.run();
