import * as assert from 'uvu/assert';
import {
  type ControlAnswer,
  decodeAnswer,
  decodeRequest,
  encodeAnswer,
  encodeRequest,
  LineReader,
  mostLineBytes,
  piecesOf,
  WireFault,
} from '../../../sdk/cli/control-wire.js';
import { ErrorCode, UltimaError } from '../../../sdk/errors.js';
import { Prng } from '../../../sim/prng.js';
import { suite } from '../../support/suite.js';

const test = suite('what a command and the server of a pool say to each other');
const seed = Number(process.env.ULTIMA_SEED ?? 6);

test('a request and every kind of answer come back as they were', () => {
  const words = ['volume', 'set', 'ä\n"\u2028', '', '--attribute', 'a=😀'];
  const keyChecks = new Map([['k1', '0123456789abcdef']]);
  const line = encodeRequest({ words, keyChecks });
  assert.is(line.indexOf('\n'), line.length - 1);
  assert.equal(decodeRequest(line), { words, keyChecks });
  const answers: readonly ControlAnswer[] = [
    { kind: 'started' },
    { kind: 'progress', text: 'scrub: 7 %' },
    { kind: 'out', text: 'a\nb\n' },
    { kind: 'end', code: 1 },
  ];
  for (const answer of answers) assert.equal(decodeAnswer(encodeAnswer(answer)), answer);
});

test('errors keep their class, code and words', () => {
  const known = new UltimaError(ErrorCode.nameTaken, 'there is a volume a already');
  for (const error of [known, new RangeError('17 TiB')]) {
    const answer = decodeAnswer(encodeAnswer({ kind: 'fault', error }));
    if (answer.kind !== 'fault') throw new Error(answer.kind);
    assert.is(answer.error.constructor, error.constructor);
    assert.is(answer.error.message, error.message);
    if (answer.error instanceof UltimaError) assert.is(answer.error.code, known.code);
  }
  const ours = decodeAnswer(encodeAnswer({ kind: 'fault', error: new TypeError('x of null') }));
  if (ours.kind !== 'fault') throw new Error(ours.kind);
  assert.match(ours.error.stack ?? '', /TypeError: x of null\n +at .*control-wire\.test/);
});

test('lines are the same however the bytes are cut', () => {
  const chance = new Prng(seed, 'cuts');
  for (let i = 0; i < 200; i++) {
    const lines = Array.from({ length: chance.below(5) }, () => {
      return Array.from({ length: chance.below(20) }, () => 'aä😀'.at(chance.below(3))!).join('');
    }).map((line) => line.replace(/[\ud800-\udfff]/g, '😀'));
    const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
    const reader = new LineReader();
    const found: string[] = [];
    for (let from = 0; from < bytes.length; ) {
      const to = Math.min(bytes.length, from + 1 + chance.below(7));
      found.push(...reader.push(bytes.subarray(from, to)));
      from = to;
    }
    assert.equal(found, lines, `seed ${seed}, ${i}`);
  }
});

test('a line may have so many bytes and no more, in one piece or in many', () => {
  const full = Buffer.alloc(mostLineBytes, 0x61);
  assert.is(
    new LineReader().push(Buffer.concat([full, Buffer.from('\n')]))[0]!.length,
    mostLineBytes,
  );
  assert.throws(() => new LineReader().push(Buffer.alloc(mostLineBytes + 1)), /more than 1048576/);
  const reader = new LineReader();
  assert.equal(reader.push(full), []);
  assert.throws(() => reader.push(Buffer.from('a')), /more than 1048576/);
});

/** Only in words of its own. */
function refuses(decode: (line: string) => unknown, line: string): boolean {
  try {
    decode(line);
    return false;
  } catch (error) {
    const isOwn = error instanceof WireFault || error instanceof UltimaError;
    assert.ok(isOwn, `seed ${seed}: ${line.slice(0, 200)}: ${error}`);
    return true;
  }
}

test('what has another shape is refused in so many words, and nothing else happens', () => {
  const words = '"words":["a","b"]';
  const bad: readonly string[] = [
    '',
    'null',
    '7',
    '"x"',
    '[1,2]',
    '{}',
    `{${words},"keys":{}}`,
    `{"ultima":"1",${words},"keys":{}}`,
    '{"ultima":1,"words":["a"],"keys":{}}',
    '{"ultima":1,"words":"ab","keys":{}}',
    '{"ultima":1,"words":["a",7],"keys":{}}',
    '{"ultima":1,"words":{"length":2},"keys":{}}',
    `{"ultima":1,"words":[${'"a",'.repeat(4096)}"a"],"keys":{}}`,
    `{"ultima":1,"words":["a","${'b'.repeat(65_537)}"],"keys":{}}`,
    `{"ultima":1,${words}}`,
    `{"ultima":1,${words},"keys":[]}`,
    `{"ultima":1,${words},"keys":{"k":7}}`,
    `{"ultima":1,${words},"keys":{${Array.from({ length: 257 }, (_, i) => `"${i}":""`)}}}`,
    '['.repeat(mostLineBytes),
    `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`,
  ];
  for (const line of bad) assert.ok(refuses(decodeRequest, line), line.slice(0, 80));
  for (const line of bad) assert.ok(refuses(decodeAnswer, line), line.slice(0, 80));
});

test('lines with wrong characters in them are decoded or refused, ten thousand times', () => {
  const chance = new Prng(seed, 'characters');
  const keyChecks = new Map([['k', '00']]);
  const good = encodeRequest({ words: ['volume', 'list', '-p', 'disk.img'], keyChecks });
  const answer = encodeAnswer({ kind: 'fault', error: new RangeError('x') });
  let count = 0;
  for (let i = 0; i < 10_000; i++) {
    const isRequest = i % 2 === 0;
    const bytes = Buffer.from(isRequest ? good : answer);
    for (let k = chance.below(4); k >= 0; k--)
      bytes[chance.below(bytes.length)] = chance.below(256);
    if (refuses(isRequest ? decodeRequest : decodeAnswer, bytes.toString('latin1'))) count++;
  }
  assert.ok(count > 1000 && count < 10_000, `${count} refused`);
});

test('a long text goes in pieces, no character cut in two, each of a line that is taken', () => {
  const text = `${'x'.repeat(32_767)}${'😀'.repeat(40_000)}${'\u0001'.repeat(70_000)}`;
  const pieces = [...piecesOf(text)];
  assert.is(pieces.join(''), text);
  assert.equal([...piecesOf('')], []);
  for (const piece of pieces) {
    assert.is(Buffer.from(piece).toString(), piece, 'half a character is none');
    const line = Buffer.from(encodeAnswer({ kind: 'out', text: piece }));
    const [back] = new LineReader().push(line);
    assert.equal(decodeAnswer(back!), { kind: 'out', text: piece });
  }
});

test.run();
