import * as assert from 'uvu/assert';
import { MemoryDevice } from '../../../sdk/block/memory.js';
import { BlockOp, BlockRequest, BlockStatus, blockFlagFua } from '../../../sdk/block/request.js';
import { World } from '../../../sim/world.js';
import { suite } from '../../support/suite.js';

const test = suite('memory block device');

function device(hasVolatileCache: boolean): MemoryDevice {
  const { clock } = new World();
  return new MemoryDevice({ blockBytes: 512, blockCount: 1000, clock, hasVolatileCache });
}

/** Carry out one request; returns the bytes of a read. */
function run(on: MemoryDevice, op: BlockOp, lba: number, fill = 0, flags = 0): number {
  let ends = 0;
  const request = new BlockRequest(() => ends++);
  request.op = op;
  request.lba = lba;
  request.flags = flags;
  request.blockCount = op === BlockOp.flush ? 0 : 2;
  const region = on.memory.allocate(1024);
  region.bytes.fill(fill);
  if (op === BlockOp.read || op === BlockOp.write) {
    request.addSegment(region, 0, 300);
    request.addSegment(region, 300, 724);
  }
  on.submit(request);
  assert.is(ends, 0);
  on.poll();
  assert.is(ends, 1);
  return region.bytes[0]! + 256 * region.bytes[1023]!;
}

test('blocks read back what was written, zeroes before and after a discard', () => {
  const memory = device(false);
  assert.is(run(memory, BlockOp.read, 10, 9), 0);
  run(memory, BlockOp.write, 10, 7);
  assert.is(run(memory, BlockOp.read, 10), 7 + 7 * 256);
  assert.is(run(memory, BlockOp.read, 11), 7);
  run(memory, BlockOp.discard, 10);
  assert.is(run(memory, BlockOp.read, 10, 9), 0);
});

test('a power cut takes back unflushed blocks one by one, and no flushed or FUA write', () => {
  const memory = device(true);
  run(memory, BlockOp.write, 10, 1);
  run(memory, BlockOp.flush, 0);
  run(memory, BlockOp.write, 10, 2);
  run(memory, BlockOp.write, 20, 3, blockFlagFua);
  memory.powerCut((lba) => lba === 11);
  assert.is(run(memory, BlockOp.read, 10), 1 + 2 * 256);
  assert.is(run(memory, BlockOp.read, 20), 3 + 3 * 256);
});

test('a device without a volatile cache loses nothing', () => {
  const memory = device(false);
  run(memory, BlockOp.write, 10, 5);
  memory.powerCut(() => false);
  assert.is(run(memory, BlockOp.read, 10), 5 + 5 * 256);
});

test('what a device said of an earlier request is not said of the next one', () => {
  const memory = device(false);
  const request = new BlockRequest(() => {});
  request.op = BlockOp.flush;
  request.detail = 0x281;
  request.status = BlockStatus.mediaError;
  memory.submit(request);
  memory.poll();
  assert.equal([request.status, request.detail], [BlockStatus.ok, 0]);
});

test('requests beyond the end or on freed memory are refused', () => {
  const memory = device(false);
  assert.throws(() => run(memory, BlockOp.read, 999), /at 999/);
  const request = new BlockRequest(() => {});
  request.blockCount = 2;
  request.setData(memory.memory.allocate(1024), 0, 1024);
  memory.memory.free(request.regions[0]!);
  assert.throws(() => memory.submit(request), /freed/);
});

test.run();
