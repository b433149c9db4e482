import * as assert from 'uvu/assert';
import { BlockOp, BlockRequest, BlockStatus } from '../../sdk/block/request.js';
import { tuple } from '../conformance/guard.js';
import { CrashDevice } from './crash-device.js';
import { formatted, guarded, unguarded } from './guarded-blocks.js';
import { suite } from './suite.js';

const test = suite('blocks with protection information');

const two = Uint8Array.from({ length: 1024 }, (_, i) => (i * i + (i >>> 3)) & 255);

test('a block is stored with the tuple that the standard gives it', () => {
  const stored = guarded(two, 512, 0xffff_ffff);
  assert.is(stored.length, 1040);
  assert.equal(stored.slice(0, 512), two.slice(0, 512));
  assert.equal(stored.slice(512, 520), tuple(two.subarray(0, 512), { app: 0, ref: 0xffff_ffff }));
  // The reference tag is the low dword of the LBA.
  assert.equal(stored.slice(1032), tuple(two.subarray(512), { app: 0, ref: 0 }));
  assert.equal(unguarded(stored, 512, 0xffff_ffff), two);
});

test('any wrong bit of a block or its guard, and any other place, is seen', () => {
  const stored = guarded(two, 512, 7);
  assert.is(unguarded(stored, 512, 8), null);
  for (let bit = 0; bit < 514 * 8; bit++) {
    stored[bit >>> 3]! ^= 1 << (bit & 7);
    assert.is(unguarded(stored, 512, 7), null);
    stored[bit >>> 3]! ^= 1 << (bit & 7);
  }
});

test('what was never written reads as zeroes, and is not compared', () => {
  assert.equal(unguarded(formatted(2, 512), 512, 5), new Uint8Array(1024));
});

test('a block that is torn from its metadata ends the read with an integrity error', () => {
  const device = new CrashDevice({ blockBytes: 512, bytes: 65_536, hasProtection: true });
  const region = device.memory.allocate(1024);
  const run = (op: typeof BlockOp.read | typeof BlockOp.write): BlockStatus => {
    const request = new BlockRequest(() => {});
    Object.assign(request, { op, lba: 3, blockCount: 2, status: BlockStatus.unknown });
    request.setData(region, 0, 1024);
    device.submit(request);
    device.poll();
    return request.status;
  };
  region.bytes.set(two);
  assert.is(run(BlockOp.write), BlockStatus.ok);
  region.bytes.fill(0);
  assert.is(run(BlockOp.read), BlockStatus.ok);
  assert.equal(region.bytes.slice(0, 1024), two);
  // The metadata of what another write would have put there.
  device.image.set(guarded(new Uint8Array(512), 512, 4).subarray(512), 4 * 520 + 512);
  assert.is(run(BlockOp.read), BlockStatus.integrityError);
});

test.run();
