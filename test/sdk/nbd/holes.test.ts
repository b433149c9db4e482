import * as assert from 'uvu/assert';
import { runOf } from '../../../sdk/nbd/holes.js';
import { Prng } from '../../../sim/prng.js';
import {
  chunksOf,
  contentOf,
  fromHex,
  NbdRig,
  request,
  WatchedDevice,
} from '../../support/nbd-rig.js';
import { suite } from '../../support/suite.js';

const test = suite('NBD holes');
const KiB = 1024;
const dontFragment = 4;

/** A disk of 1 MiB with data in these ranges of bytes, and a client of it. */
function diskWith(ranges: readonly (readonly [from: number, to: number])[]) {
  const client = new NbdRig(new WatchedDevice(2048)).connect();
  client.go();
  const content = Buffer.alloc(1024 * KiB);
  for (const [offset, end] of ranges) {
    content.fill(0xa5, offset, end);
    const length = end - offset;
    client.say(request({ command: 1, offset, length }), content.subarray(offset, end));
  }
  return { client, content };
}

test('zeroes are named and not sent: the chunk, byte for byte as the text draws it', () => {
  const { client } = diskWith([]);
  const answer = client.say('25609513 0000 0000 1122334455667788 0000000000010000 00003000');
  const head = '668e33ef 0001 0002 1122334455667788 0000000c';
  assert.equal(answer, fromHex(`${head} 0000000000010000 00003000`));
});

test('data and holes of a read follow each other, the last one done', () => {
  const { client, content } = diskWith([[8 * KiB, 16 * KiB]]);
  const words = { command: 0, offset: 4 * KiB, length: 20 * KiB };
  const chunks = chunksOf(client.say(request(words)));
  assert.equal(
    chunks.map(({ type, isDone, payload }) => [
      type,
      isDone,
      Number(payload.readBigUInt64BE(0)) / KiB,
      type === 2 ? payload.readUInt32BE(8) / KiB : (payload.length - 8) / KiB,
    ]),
    [
      [2, false, 4, 4],
      [1, false, 8, 8],
      [2, true, 16, 8],
    ],
  );
  assert.equal(contentOf(chunks, words), content.subarray(4 * KiB, 24 * KiB));
});

test('who does not want fragments gets the zeroes themselves, and so does an old client', () => {
  const { client, content } = diskWith([[8 * KiB, 16 * KiB]]);
  const length = 24 * KiB;
  const answer = client.say(request({ command: 0, length, flags: dontFragment }));
  assert.equal(
    chunksOf(answer).map(({ type }) => type),
    [1],
  );
  assert.equal(answer.subarray(28), content.subarray(0, length));
  const old = client.rig.connect();
  old.go({ isStructured: false });
  assert.equal(old.say(request({ command: 0, length })).subarray(16), content.subarray(0, length));
});

test('less than a cell of zeroes is sent', () => {
  const { client } = diskWith([]);
  const [chunk] = chunksOf(client.say(request({ command: 0, length: 2048 })));
  assert.equal([chunk!.type, chunk!.payload.length], [1, 8 + 2048]);
});

test('a hole over several parts of a read is told part by part', () => {
  const { client } = diskWith([]);
  const chunks = chunksOf(client.say(request({ command: 0, length: 600 * KiB })));
  assert.equal(
    chunks.map(({ type, isDone, payload }) => [type, isDone, payload.readUInt32BE(8) / KiB]),
    [
      [2, false, 256],
      [2, false, 256],
      [2, true, 88],
    ],
  );
});

test('whatever is where, the chunks of a read are its content', () => {
  const seed = 5;
  console.log(`seed ${seed}`);
  const prng = new Prng(seed, 'holes');
  const block = (most: number): number => 512 * prng.below(most / 512);
  const ranges = Array.from({ length: 24 }, (): [number, number] => {
    const from = block(1000 * KiB);
    return [from, from + 512 + block(20 * KiB)];
  });
  const { client, content } = diskWith(ranges);
  for (let i = 0; i < 200; i++) {
    const offset = block(700 * KiB);
    const length = 512 + block(prng.chance(0.5) ? 16 * KiB : 320 * KiB);
    const chunks = chunksOf(client.say(request({ command: 0, offset, length })));
    assert.ok(
      contentOf(chunks, { offset, length })!.equals(content.subarray(offset, offset + length)),
    );
    // No gap, no overlap: the lengths of the chunks are the length of the read.
    const sum = chunks.reduce(
      (total, { type, payload }) =>
        total + (type === 2 ? payload.readUInt32BE(8) : payload.length - 8),
      0,
    );
    assert.is(sum, length);
  }
});

test('a run ends with the first cell of the other kind; one byte makes a cell data', () => {
  const words = new Uint32Array((16 * KiB) / 4);
  assert.is(runOf(words, 0, 16 * KiB), -16 * KiB);
  words[(12 * KiB) / 4 - 1] = 0x0100_0000;
  assert.is(runOf(words, 0, 16 * KiB), -8 * KiB);
  assert.is(runOf(words, 8 * KiB, 16 * KiB), 12 * KiB);
  assert.is(runOf(words, 12 * KiB, 16 * KiB), -16 * KiB);
});

test.run();
