import { readFileSync } from 'node:fs';
import * as assert from 'uvu/assert';
import { fio, missing } from '../support/fio-nbd.js';
import { skip, suite } from '../support/suite.js';
import { type Ended, Served, succeed, ultima } from './served.js';

const test = suite('snapshots under NBD clients');
const blockBytes = 4096;
const blocks = 4096;

interface Range {
  readonly byteOffset: number;
  readonly byteLength: number;
  readonly isData: boolean;
}

/** The ranges of `ultima snapshot diff … -o json`. */
function rangesOf(text: string): Range[] {
  const { ranges } = JSON.parse(text);
  assert.ok(Array.isArray(ranges) && ranges.length > 0);
  return ranges;
}

/** They come, are compared and go while somebody writes. */
async function snapshotsUntil(end: Promise<unknown>, pool: readonly string[]): Promise<void> {
  let isWriting = true;
  end.finally(() => {
    isWriting = false;
  });
  for (let taken = 1; isWriting; taken++) {
    await ultima('snapshot', 'create', `db@s${taken}`, ...pool);
    if (taken > 2) await ultima('snapshot', 'delete', `db@s${taken - 2}`, ...pool);
    await ultima('snapshot', 'diff', 'db@first', `db@s${taken}`, ...pool);
  }
}

test('fio finds in a snapshot what it had written, whatever it has written since', async () => {
  const lacking = missing('fio', 'nbdcopy');
  if (lacking.length > 0) return skip(`no NBD clients: ${lacking.join(', ')} not installed`);
  const served = new Served();
  const pool = ['--pool', served.file('disk.img')];
  const work = (seed: number, ...words: readonly string[]): Promise<Ended> => {
    const { socket, folder } = served;
    // In every block its place and whose it is: a checksum alone holds for any of them.
    const pattern = ['--verify=pattern', `--verify_pattern="of ${seed}"%o`];
    return fio(
      { socket, folder, blockBytes, blocks, seed },
      '--rw=randwrite',
      ...pattern,
      ...words,
    );
  };
  const write = (seed: number): Promise<Ended> => work(seed, '--do_verify=0', '--iodepth=16');
  try {
    await ultima('pool', 'create', served.file('disk.img'), '--bytes', '192m');
    const size = String(blocks * blockBytes);
    await ultima('volume', 'create', 'db', '--bytes', size, '--checks', ...pool);
    await served.start('volume', 'db', ...pool);
    assert.is((await write(1)).code, 0);
    await ultima('snapshot', 'create', 'db@first', ...pool);
    const second = write(2);
    await snapshotsUntil(second, pool);
    assert.is((await second).code, 0);
    await ultima('snapshot', 'create', 'db@second', ...pool);
    assert.is((await write(3)).code, 0);
    const difference = await ultima(
      'snapshot',
      'diff',
      'db@first',
      'db@second',
      ...pool,
      '-o',
      'json',
    );
    assert.is(await ultima('pool', 'check', served.file('disk.img')), 'the pool is sound\n');
    assert.is(await served.stop('SIGTERM'), 0);
    const images: Buffer[] = [];
    for (const [seed, name] of [
      [1, 'db@first'],
      [2, 'db@second'],
      [3, 'db'],
    ] as const) {
      await served.start('volume', name, ...pool);
      const { code, out } = await work(seed, '--verify_only=1', '--verify_fatal=1');
      assert.is(code, 0, `${name}: ${out}`);
      const other = await work(seed + 1, '--verify_only=1', '--verify_fatal=1');
      assert.is.not(other.code, 0, `${name} has what it must not have`);
      await succeed('nbdcopy', served.uri, served.file('copy.img'));
      images.push(readFileSync(served.file('copy.img')));
      assert.is(await served.stop('SIGTERM'), 0);
    }
    const [first, then] = images;
    for (const { byteOffset, byteLength, isData } of rangesOf(difference)) {
      if (isData) then!.copy(first!, byteOffset, byteOffset, byteOffset + byteLength);
      else first!.fill(0, byteOffset, byteOffset + byteLength);
    }
    assert.ok(first!.equals(then!), 'the difference makes the one the other');
  } finally {
    await served.end();
  }
});

test.run();
