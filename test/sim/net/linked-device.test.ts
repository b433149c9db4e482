import * as assert from 'uvu/assert';
import { MemoryDevice, MemorySpace } from '../../../sdk/block/memory.js';
import { BlockOp, BlockRequest, BlockStatus } from '../../../sdk/block/request.js';
import { LinkedDevice } from '../../../sim/net/linked-device.js';
import { World } from '../../../sim/world.js';
import { suite } from '../../support/suite.js';

const test = suite('linked device');
const latencyNs = 10_000;
const bytesPerNs = 2;
const headerBytes = 64;

function rig() {
  const world = new World();
  const far = new MemoryDevice({ blockBytes: 512, blockCount: 1000, clock: world.clock });
  const memory = new MemorySpace();
  const linked = new LinkedDevice(far, { world, memory, latencyNs, bytesPerNs, requestCount: 8 });
  return { world, far, memory, linked };
}

type Rig = ReturnType<typeof rig>;

function request(op: BlockOp, lba: number, blockCount: number, ends: number[] = []): BlockRequest {
  const made = new BlockRequest(({ status }) => ends.push(status));
  made.op = op;
  made.lba = lba;
  made.blockCount = blockCount;
  return made;
}

/** Until something has ended. */
function finish({ linked, world }: Rig): void {
  while (linked.poll() === 0) world.idle(world.nowNs + 1e9);
}

test('a read takes both ways, and the data the time of the link', () => {
  const it = rig();
  const read = request(BlockOp.read, 3, 8);
  read.setData(it.memory.allocate(4096), 0, 4096);
  it.linked.submit(read);
  finish(it);
  const there = headerBytes / bytesPerNs;
  const back = (headerBytes + 4096) / bytesPerNs;
  assert.is(read.completedNs - read.submittedNs, 2 * latencyNs + there + back);
});

test('data in pieces of memory arrives in order, both ways', () => {
  const it = rig();
  const data = Uint8Array.from({ length: 1024 }, (_, i) => i * 7);
  const regions = [it.memory.allocate(300), it.memory.allocate(724)];
  const write = request(BlockOp.write, 5, 2);
  const read = request(BlockOp.read, 5, 2);
  regions[0]!.bytes.set(data.subarray(0, 300));
  regions[1]!.bytes.set(data.subarray(300));
  for (const each of [write, read]) {
    each.addSegment(regions[0]!, 0, 300);
    each.addSegment(regions[1]!, 0, 724);
  }
  it.linked.submit(write);
  finish(it);
  for (const region of regions) region.bytes.fill(0);
  it.linked.submit(read);
  finish(it);
  assert.equal(Buffer.concat(regions.map(({ bytes }) => bytes)), Buffer.from(data));
});

test('two writes share the link: the second waits for the first', () => {
  const it = rig();
  const writes = [0, 100].map((lba) => request(BlockOp.write, lba, 100));
  for (const write of writes) {
    write.setData(it.memory.allocate(51_200), 0, 51_200);
    it.linked.submit(write);
  }
  finish(it);
  finish(it);
  const sentNs = (headerBytes + 51_200) / bytesPerNs;
  assert.is(writes[1]!.completedNs - writes[0]!.completedNs, sentNs);
});

test('what was under way on a link that is lost ends once, as unknown', () => {
  const it = rig();
  const ends: number[] = [];
  const flush = request(BlockOp.flush, 0, 0, ends);
  it.linked.submit(flush);
  it.linked.lose();
  it.linked.lose();
  assert.is(it.linked.poll(), 1);
  assert.equal(ends, [BlockStatus.unknown]);
  it.linked.submit(flush);
  assert.is(it.linked.poll(), 1);
  assert.equal(ends, [BlockStatus.unknown, BlockStatus.notExecuted]);
  it.world.advance(1e6);
  assert.is(it.linked.poll(), 0);
});

test('more requests than the far device takes at once wait there', () => {
  const world = new World();
  const { clock } = world;
  const far = new MemoryDevice({ blockBytes: 512, blockCount: 1000, clock, maxInFlight: 2 });
  const memory = new MemorySpace();
  const linked = new LinkedDevice(far, { world, memory, latencyNs, bytesPerNs, requestCount: 8 });
  const ends: number[] = [];
  for (let i = 0; i < 8; i++) linked.submit(request(BlockOp.flush, 0, 0, ends));
  assert.is(linked.canSubmit(), false);
  while (ends.length < 8) if (linked.poll() === 0) world.idle(world.nowNs + 1e9);
  assert.equal(ends, Array(8).fill(BlockStatus.ok));
});

test.run();
