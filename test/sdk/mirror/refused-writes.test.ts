import * as assert from 'uvu/assert';
import { BlockOp, BlockRequest, BlockStatus } from '../../../sdk/block/request.js';
import { suite } from '../../support/suite.js';
import { block, geometry, Rig, RigDevice } from './rig.js';

const test = suite('mirrors whose members refuse a write');

/** Refuses writes of some blocks, and lets others wait. */
class FullDevice extends RigDevice {
  refusedLba = -1;
  heldLba = -1;
  private readonly held: BlockRequest[] = [];
  private refused: BlockRequest[] = [];

  override submit(request: BlockRequest): void {
    const isWrite = request.op === BlockOp.write;
    if (isWrite && request.lba === this.refusedLba) this.refused.push(request);
    else if (isWrite && request.lba === this.heldLba) this.held.push(request);
    else super.submit(request);
  }

  override poll(): number {
    const { refused } = this;
    this.refused = [];
    for (const request of refused) {
      request.status = BlockStatus.outOfSpace;
      request.done(request);
    }
    return refused.length + super.poll();
  }

  letGo(): void {
    this.heldLba = -1;
    for (const request of this.held.splice(0)) super.submit(request);
  }
}

test('a write beside one that all refuse comes to all members', async () => {
  const rig = new Rig();
  const disks: FullDevice[] = [];
  for (const index of [0, 1]) {
    const data = new FullDevice({ ...geometry, clock: rig.clock });
    disks.push(data);
    await rig.add(index, { devices: { meta: rig.device(64), data } });
  }
  await rig.create(0, 1);
  const mirror = await rig.attachWhole();
  const { device } = mirror;
  const write = (lba: number, fill: number): { status: BlockStatus | null } => {
    const told: { status: BlockStatus | null } = { status: null };
    const request = new BlockRequest(({ status }) => {
      told.status = status;
    });
    const data = device.memory.allocate(geometry.blockBytes);
    data.bytes.set(block(fill));
    Object.assign(request, { op: BlockOp.write, lba, blockCount: 1 });
    request.setData(data, 0, geometry.blockBytes);
    device.submit(request);
    return told;
  };
  // Two blocks of one region: the first comes to member 0 late, the other one has no space.
  disks[0]!.heldLba = 4;
  for (const disk of disks) disk.refusedLba = 3;
  const late = write(4, 0x22);
  const refused = write(3, 0x33);
  await rig.until(mirror, () => refused.status !== null);
  assert.is(refused.status, BlockStatus.outOfSpace);
  // Time in which a region that nobody is in is reconciled.
  for (let turn = 0; turn < 50; turn++) {
    device.poll();
    await rig.clock.turn(rig.clock.nowNs() + 1e6);
  }
  assert.is(late.status, null);
  disks[0]!.letGo();
  await rig.until(mirror, () => late.status !== null);
  assert.is(late.status, BlockStatus.ok);
  await rig.whole(mirror);
  for (const index of [0, 1]) assert.is(await rig.contentOf(index, 4), 0x22);
  await rig.detach(mirror);
});

test.run();
