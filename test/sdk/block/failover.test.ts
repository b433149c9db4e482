import * as assert from 'uvu/assert';
import type { BlockDevice } from '../../../sdk/block/device.js';
import { FailoverDevice } from '../../../sdk/block/failover.js';
import { MemoryDevice } from '../../../sdk/block/memory.js';
import { BlockOp, BlockRequest, BlockStatus } from '../../../sdk/block/request.js';
import { World } from '../../../sim/world.js';
import { suite } from '../../support/suite.js';

const test = suite('fail-over device');

/** A path to a device that can break: what is under way is done, or not, and nobody hears of it. */
class Path implements BlockDevice {
  readonly blockBytes: number;
  readonly blockCount: number;
  readonly limits;
  readonly clock;
  readonly memory;
  private readonly target: MemoryDevice;
  private held: BlockRequest[] = [];
  private isBroken = false;

  constructor(target: MemoryDevice) {
    this.target = target;
    ({ blockBytes: this.blockBytes, blockCount: this.blockCount } = target);
    this.limits = { ...target.limits, maxInFlight: 4 };
    this.clock = target.clock;
    this.memory = target.memory;
  }

  canSubmit(): boolean {
    return this.held.length < 4;
  }

  submit(request: BlockRequest): void {
    this.held.push(request);
  }

  break(): void {
    this.isBroken = true;
  }

  poll(): number {
    const due = this.held;
    this.held = [];
    for (const [i, request] of due.entries()) {
      if (!this.isBroken) this.target.submit(request);
      else {
        request.status = i % 2 === 0 ? BlockStatus.unknown : BlockStatus.notExecuted;
        request.done(request);
      }
    }
    return this.target.poll();
  }
}

function rig() {
  const world = new World();
  const { clock } = world;
  const target = new MemoryDevice({ blockBytes: 512, blockCount: 1000, clock });
  const first = new Path(target);
  const device = new FailoverDevice(first, { memory: target.memory, requestCount: 16 });
  return { target, first, device, world };
}

function write(device: BlockDevice, lba: number, ends: number[]): BlockRequest {
  const request = new BlockRequest(({ status }) => ends.push(status));
  request.op = BlockOp.write;
  request.lba = lba;
  request.blockCount = 1;
  const region = device.memory.allocate(512);
  region.bytes.fill(lba);
  request.setData(region, 0, 512);
  device.submit(request);
  return request;
}

function read(device: BlockDevice, lba: number): number {
  const request = new BlockRequest(() => {});
  request.op = BlockOp.read;
  request.lba = lba;
  request.blockCount = 1;
  const region = device.memory.allocate(512);
  request.setData(region, 0, 512);
  device.submit(request);
  device.poll();
  device.poll();
  return region.bytes[511]!;
}

test('requests that a lost device had are carried out by the next one, each ends once', () => {
  const { target, first, device } = rig();
  const ends: number[] = [];
  for (let lba = 1; lba <= 10; lba++) write(device, lba, ends);
  first.break();
  device.leave();
  for (let i = 0; i < 3; i++) device.poll();
  assert.equal(ends, []);
  assert.is(device.waitingCount, 10);
  device.moveTo(new Path(target));
  for (let i = 0; i < 8; i++) device.poll();
  assert.equal(ends, Array(10).fill(BlockStatus.ok));
  assert.is(device.resentCount, 4);
  for (let lba = 1; lba <= 10; lba++) assert.is(read(device, lba), lba);
});

test('what a lost device still completes has ended', () => {
  const { target, device } = rig();
  const ends: number[] = [];
  write(device, 7, ends);
  device.leave();
  write(device, 8, ends);
  device.poll();
  assert.equal(ends, [BlockStatus.ok]);
  device.moveTo(new Path(target));
  device.poll();
  device.poll();
  assert.equal(ends, [BlockStatus.ok, BlockStatus.ok]);
  assert.is(device.resentCount, 0);
});

test('a request that was sent twice has taken the time of both, and of what lay between', () => {
  const { target, first, device, world } = rig();
  const request = write(device, 1, []);
  first.break();
  device.leave();
  device.poll();
  world.advance(5e8);
  device.moveTo(new Path(target));
  for (let i = 0; i < 3; i++) device.poll();
  assert.is(request.completedNs - request.submittedNs, 5e8);
});

test("a failure of the device itself is the user's, not tried again", () => {
  const { target, device } = rig();
  const failing = new Path(target);
  failing.poll = () => 0;
  let submitted: BlockRequest | null = null;
  failing.submit = (request) => {
    submitted = request;
  };
  device.moveTo(failing);
  const ends: number[] = [];
  const request = write(device, 1, ends);
  assert.is(submitted, request);
  request.status = BlockStatus.mediaError;
  request.done(request);
  assert.equal(ends, [BlockStatus.mediaError]);
});

test('a request has its own end again when it comes back', () => {
  const { device } = rig();
  const ends: number[] = [];
  const request = new BlockRequest(() => ends.push(1));
  const own = request.done;
  request.op = BlockOp.flush;
  request.blockCount = 0;
  device.submit(request);
  device.poll();
  device.poll();
  assert.is(request.done, own);
  assert.equal(ends, [1]);
});

test('while it is held what was under way ends, and what comes waits', async () => {
  const { device } = rig();
  const ends: number[] = [];
  write(device, 1, ends);
  let isQuiet = false;
  const held = device.hold().then(() => {
    isQuiet = true;
  });
  write(device, 2, ends);
  await Promise.resolve();
  assert.is(isQuiet, false);
  for (let i = 0; i < 3; i++) device.poll();
  await held;
  assert.equal(ends, [BlockStatus.ok]);
  await device.hold();
  device.release();
  device.poll();
  device.poll();
  assert.is(ends.length, 2);
});

test('what was held is held no longer when there is no other device', () => {
  const { device } = rig();
  device.hold();
  const ends: number[] = [];
  write(device, 1, ends);
  device.poll();
  assert.equal(ends, []);
  device.giveUp();
  device.poll();
  assert.equal(ends, [BlockStatus.notExecuted]);
});

test('no more requests are taken than there is room for', () => {
  const { device } = rig();
  device.leave();
  for (let lba = 0; lba < 16; lba++) {
    assert.is(device.canSubmit(), true, `request ${lba}`);
    write(device, lba, []);
  }
  assert.is(device.canSubmit(), false);
});

test('a smaller device is refused, and a larger one makes it larger', () => {
  const { target, device } = rig();
  const other = new MemoryDevice({ blockBytes: 512, blockCount: 999, clock: target.clock });
  assert.throws(() => device.moveTo(other), /999 blocks of 512 bytes; the one before had 1000/);
  other.blockCount = 1001;
  device.moveTo(other);
  other.blockCount = 1002;
  assert.is(device.blockCount, 1002);
  device.leave();
  assert.is(device.blockCount, 1002);
});

test('when no other device comes, what may have been carried out once stays unknown', () => {
  const { first, device } = rig();
  const ends: number[] = [];
  for (let lba = 1; lba <= 5; lba++) write(device, lba, ends);
  first.break();
  // Of the first four, 1 and 3 are lost as unknown, 2 and 4 were not executed; sent again are 5,
  // 1, 2 and 3, of which 5 and 2 are unknown then. 4 waits, and 6 comes too late.
  device.poll();
  assert.equal(ends, []);
  device.giveUp();
  write(device, 6, ends);
  device.poll();
  const { unknown, notExecuted } = BlockStatus;
  assert.is(ends.filter((status) => status === unknown).length, 4);
  assert.is(ends.filter((status) => status === notExecuted).length, 2);
  assert.is(device.inFlightCount + device.waitingCount, 0);
});

test.run();
