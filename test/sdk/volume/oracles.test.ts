import { createHash } from 'node:crypto';
import * as assert from 'uvu/assert';
import { readBlocks, writeBlocks } from '../../../sdk/block/promised.js';
import { BlockOp } from '../../../sdk/block/request.js';
import type { Volume } from '../../../sdk/volume/volume.js';
import { Prng } from '../../../sim/prng.js';
import { suite } from '../../support/suite.js';
import { runPlain, writeSectors } from '../../support/volume-rig.js';
import { codeOf, device, MiB, poolOn } from './rig.js';

const test = suite('snapshot oracles');

async function hashOf(volume: Volume): Promise<string> {
  const bytes = new Uint8Array(volume.blockCount * volume.blockBytes);
  await readBlocks(volume, 0, bytes);
  return createHash('sha256').update(bytes).digest('hex');
}

test('50 differences under random load, each applied to a copy, give the snapshot bit for bit', async () => {
  const seed = 11;
  const chance = new Prng(seed, 'load');
  const pool = await poolOn(device(64 * MiB));
  const volume = await pool.createVolume({ name: 'a', bytes: 2 * MiB });
  const copy = await pool.createVolume({ name: 'copy', bytes: 2 * MiB });
  let version = 0;
  let moved = 0;
  for (let i = 0; i < 50; i++) {
    for (let j = 0; j < 12; j++) {
      const count = 1 + chance.below(20);
      const first = chance.below(512 - count);
      if (chance.chance(0.75)) await writeSectors(volume, first * 8, count * 8, ++version);
      else await runPlain(volume, BlockOp.discard, first * 8, count * 8);
    }
    await pool.takeSnapshot([{ volume: 'a', name: `s${i}` }]);
    const from = i === 0 ? null : { volume: 'a', snapshot: `s${i - 1}` };
    const to = { volume: 'a', snapshot: `s${i}` };
    for await (const { byteOffset, byteLength, isData } of pool.changes(from, to)) {
      const range = { lba: byteOffset / 4096, blockCount: byteLength / 4096 };
      if (!isData) await runPlain(copy, BlockOp.discard, range.lba * 8, range.blockCount * 8);
      else {
        const bytes = new Uint8Array(byteLength);
        await readBlocks(pool.snapshot('a', `s${i}`), range.lba, bytes);
        await writeBlocks(copy, range.lba, bytes);
        moved += byteLength;
      }
    }
    assert.is(await hashOf(copy), await hashOf(pool.snapshot('a', `s${i}`)), `snapshot ${i}`);
  }
  assert.ok(moved < 25 * 2 * MiB, `${moved} bytes: no more than what changed`);
});

test('a restore in between does not mislead a difference', async () => {
  const pool = await poolOn(device());
  const volume = await pool.createVolume({ name: 'a', bytes: MiB });
  await writeSectors(volume, 0, 16, 1);
  await pool.takeSnapshot([{ volume: 'a', name: 'old' }]);
  await writeSectors(volume, 0, 8, 2);
  await pool.takeSnapshot([{ volume: 'a', name: 'mid' }]);
  await pool.restore('a', 'old', 'kept');
  const back = [...pool.changesNow({ volume: 'a', snapshot: 'mid' }, { volume: 'a' })];
  assert.equal(back, [{ byteOffset: 0, byteLength: 4096, isData: true }]);
  assert.equal([...pool.changesNow({ volume: 'a', snapshot: 'old' }, { volume: 'a' })], []);
});

test('a difference tells of one instant, whatever is written, restored and deleted on the way', async () => {
  const pool = await poolOn(device(64 * MiB));
  const bytes = 40 * 32 * MiB;
  const volume = await pool.createVolume({ name: 'a', bytes, blockBytes: 512 });
  const places = Array.from({ length: 40 }, (_, i) => i * 32 * MiB);
  for (const place of places) await writeSectors(volume, place / 512, 8, 1);
  await pool.takeSnapshot([{ volume: 'a', name: 's' }]);
  await pool.takeSnapshot([{ volume: 'a', name: 't' }]);
  const disturbances: readonly (readonly [string, () => Promise<unknown>])[] = [
    ['written', () => writeSectors(volume, 16, 8, 2)],
    ['discarded', () => runPlain(volume, BlockOp.discard, places[39]! / 512, 8)],
    ['restored', () => pool.restore('a', 's', 'kept')],
    ['deleted', () => pool.deleteVolume('a', { withSnapshots: true })],
  ];
  const walks = [{ volume: 'a' }, { volume: 'a', snapshot: 't' }].map((to) => {
    const found: number[] = [];
    return { found, ranges: pool.changes(null, to) };
  });
  const late = pool.changes(null, { volume: 'a', snapshot: 's' });
  for (const [words, disturb] of disturbances) {
    for (const { found, ranges } of walks) {
      for (let i = 0; i < 5; i++) found.push((await ranges.next()).value.byteOffset);
    }
    await disturb();
    assert.equal(
      walks.map(({ found }) => found),
      walks.map(({ found }) => places.slice(0, found.length)),
      words,
    );
  }
  for (const { found, ranges } of walks) {
    for await (const { byteOffset } of ranges) found.push(byteOffset);
    assert.equal(found, places);
  }
  assert.is(await codeOf(late.next()), 'NOT_FOUND', 'what is gone before the first is no nothing');
  await pool.settleSpace();
  assert.is(pool.space().dataBytes, 0);
});

test('a group is one instant: what was written second is never there without the first', async () => {
  const pool = await poolOn(device(32 * MiB));
  const a = await pool.createVolume({ name: 'a', bytes: MiB });
  const b = await pool.createVolume({ name: 'b', bytes: MiB });
  let isRunning = true;
  const writer = async (): Promise<void> => {
    for (let n = 1; isRunning; n++) {
      await writeSectors(a, 0, 8, n);
      await writeSectors(b, 0, 8, n);
    }
  };
  const writing = writer();
  const seen = new Set<number>();
  const block = new Uint8Array(4096);
  const words = new Uint32Array(block.buffer);
  for (let i = 0; i < 30; i++) {
    await pool.takeSnapshot(['a', 'b'].map((volume) => ({ volume, name: `g${i}` })));
    await readBlocks(pool.snapshot('a', `g${i}`), 0, block);
    const first = words[0]!;
    await readBlocks(pool.snapshot('b', `g${i}`), 0, block);
    const second = words[0]!;
    assert.ok(first >= second && second >= first - 1, `a has ${first}, b has ${second}`);
    seen.add(first);
  }
  isRunning = false;
  await writing;
  assert.ok(seen.size > 5, 'the writer went on between the snapshots');
});

test.run();
