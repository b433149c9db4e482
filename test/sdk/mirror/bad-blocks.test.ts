import * as assert from 'uvu/assert';
import { readBlocks, writeBlocks } from '../../../sdk/block/promised.js';
import { BlockOp, BlockRequest, BlockStatus } from '../../../sdk/block/request.js';
import { ErrorCode, UltimaError } from '../../../sdk/errors.js';
import type { MemberPort } from '../../../sdk/mirror/port.js';
import { suite } from '../../support/suite.js';
import { assertRejects } from '../cluster/contract.js';
import { block, firstByte, geometry, idOf, Rig, RigDevice } from './rig.js';

const test = suite('mirrors of members with bad blocks');

/** Some of its blocks cannot be read until they are written. */
class SpottedDevice extends RigDevice {
  readonly bad = new Set<number>();
  private refused: BlockRequest[] = [];

  override submit(request: BlockRequest): void {
    const { op, lba, blockCount } = request;
    const hit = [...this.bad].filter((each) => each >= lba && each < lba + blockCount);
    if (op === BlockOp.read && hit.length > 0) {
      this.refused.push(request);
      return;
    }
    if (op === BlockOp.write) for (const each of hit) this.bad.delete(each);
    super.submit(request);
  }

  override poll(): number {
    const refused = this.refused;
    this.refused = [];
    for (const request of refused) {
      request.status = BlockStatus.mediaError;
      request.done(request);
    }
    return refused.length + super.poll();
  }
}

/** Blocks 16 to 31 are one region, which is copied and compared in one piece. */
const first = 16;
const count = geometry.regionBlocks;

async function spotted(memberCount: number): Promise<{ rig: Rig; disks: SpottedDevice[] }> {
  const rig = new Rig();
  const disks: SpottedDevice[] = [];
  for (let index = 0; index < memberCount; index++) {
    const { blockBytes, blockCount } = geometry;
    const data = new SpottedDevice({ blockBytes, blockCount, clock: rig.clock });
    disks.push(data);
    await rig.add(index, { devices: { meta: rig.device(64), data } });
  }
  await rig.create(...disks.map((_, index) => index));
  return { rig, disks };
}

function pattern(): Uint8Array {
  const bytes = new Uint8Array(count * geometry.blockBytes);
  for (let i = 0; i < count; i++) bytes.fill(0x40 + i, i * 512, (i + 1) * 512);
  return bytes;
}

test('a read of which each member lacks another block is served, and both are mended', async () => {
  const { rig, disks } = await spotted(2);
  const mirror = await rig.attachWhole();
  await writeBlocks(mirror.device, first, pattern());
  disks[0]!.bad.add(first + 3).add(first + 9);
  disks[1]!.bad.add(first + 7);
  const back = new Uint8Array(count * 512);
  await readBlocks(mirror.device, first, back);
  assert.equal(back, pattern());
  await rig.until(mirror, () => disks.every(({ bad }) => bad.size === 0));
  for (const disk of disks) {
    await readBlocks(disk, first, back);
    assert.equal(back, pattern());
  }
  await rig.detach(mirror);
});

test('a block that nobody can read fails the read, and nobody is blamed for it', async () => {
  const { rig, disks } = await spotted(2);
  const mirror = await rig.attachWhole();
  await writeBlocks(mirror.device, first, pattern());
  for (const { bad } of disks) bad.add(first + 3);
  const failed = await readBlocks(mirror.device, first, new Uint8Array(count * 512)).catch(
    (error) => error.facts,
  );
  assert.is(failed.status, BlockStatus.mediaError);
  assert.is(await firstByte(mirror.device, first + 4), 0x44);
  assert.is(mirror.status.state, 'serving');
  const found = await rig.done(mirror, mirror.verify());
  assert.equal(found, [{ lba: first + 3, isUnreadable: true, isMended: false }]);
  await writeBlocks(mirror.device, first + 3, block(7));
  assert.is(await firstByte(mirror.device, first + 3), 7);
  await rig.detach(mirror);
});

test('a verification mends blocks that members lack in the same piece, and compares the others', async () => {
  const { rig, disks } = await spotted(3);
  const mirror = await rig.attachWhole();
  await writeBlocks(mirror.device, first, pattern());
  disks[0]!.bad.add(first + 3);
  disks[1]!.bad.add(first + 7);
  await writeBlocks(disks[2]!, first + 9, block(0xff));
  const found = await rig.done(mirror, mirror.verify());
  assert.equal(found, [{ lba: first + 9, isUnreadable: false, isMended: true }]);
  await rig.until(mirror, () => disks.every(({ bad }) => bad.size === 0));
  assert.is(await firstByte(disks[2]!, first + 9), 0x49);
  await rig.detach(mirror);
});

test('what a lost writer left different is made equal around blocks that members lack', async () => {
  const { rig, disks } = await spotted(2);
  // As a writer leaves it that died between the members: all is marked, nothing has been compared.
  await writeBlocks(disks[0]!, first, pattern());
  await writeBlocks(disks[1]!, first + 11, block(0xff));
  disks[0]!.bad.add(first + 3);
  disks[1]!.bad.add(first + 7);
  await writeBlocks(disks[1]!, first + 3, block(0x43));
  const mirror = await rig.attachWhole();
  assert.equal(
    disks.map(({ bad }) => bad.size),
    [0, 0],
  );
  for (let i = 0; i < count; i++) {
    const [a, b] = [await firstByte(disks[0]!, first + i), await firstByte(disks[1]!, first + i)];
    assert.equal([a, b], [0x40 + i, 0x40 + i], `block ${i}`);
  }
  await rig.detach(mirror);
});

test('a member returns although the two that have everything lack a block each', async () => {
  const { rig, disks } = await spotted(3);
  let isThere = false;
  const late: MemberPort = {
    ...{ id: idOf(2), isLocal: false },
    connect: () => {
      if (isThere) return rig.port(2).connect();
      return Promise.reject(new UltimaError(ErrorCode.memberLost, 'it is not there'));
    },
  };
  const mirror = await rig.attach({ ports: [rig.port(0), rig.port(1), late] });
  await rig.until(mirror, () => mirror.status.unreconciledRegions === 0);
  await writeBlocks(mirror.device, first, pattern());
  disks[0]!.bad.add(first + 3);
  disks[1]!.bad.add(first + 7);
  isThere = true;
  await rig.until(mirror, () => mirror.status.members[2]!.condition === 'InUse');
  const back = new Uint8Array(count * 512);
  await readBlocks(disks[2]!, first, back);
  assert.equal(back, pattern());
  await rig.detach(mirror);
});

test('a member that returns waits for a block that nobody can read, and is told to', async () => {
  const { rig, disks } = await spotted(2);
  const mirror = await rig.attachWhole();
  await writeBlocks(mirror.device, 0, pattern());
  mirror.failed(1, 'for a test');
  await writeBlocks(mirror.device, first, pattern());
  await writeBlocks(mirror.device, first + count, pattern());
  const lost = first + 5;
  const other = first + count + 7;
  disks[0]!.bad.add(lost).add(other);
  await rig.until(mirror, () => mirror.status.unreadableBlocks.length > 1);
  const second = () => mirror.status.members[1]!;
  assert.equal(mirror.status.unreadableBlocks, [lost, other]);
  const which = `blocks ${lost}, ${other}`;
  assert.is(second().why, `no member in sync can read ${which}; write there to go on`);
  assert.is(second().missingRegions, 2);
  // Its own copy is older: nobody gets to see that.
  await assertRejects(() => readBlocks(mirror.device, lost, block(0)), /status/);
  await writeBlocks(mirror.device, lost, block(0x77));
  await rig.until(mirror, () => second().missingRegions === 1);
  assert.equal(mirror.status.unreadableBlocks, [other]);
  await writeBlocks(mirror.device, other, block(0x77));
  await rig.whole(mirror);
  assert.equal(mirror.status.unreadableBlocks, []);
  for (const { data } of rig.devices) assert.is(await firstByte(data, lost), 0x77);
  await rig.detach(mirror);
});

test('as many reads at once as the mirror takes are served, each beside a block to be mended', async () => {
  const { rig, disks } = await spotted(2);
  const mirror = await rig.attachWhole();
  const { device } = mirror;
  for (let lba = 0; lba < geometry.blockCount; lba++) disks[0]!.bad.add(lba);
  const requests = Array.from({ length: device.limits.maxInFlight }, (_, i) => {
    const request = new BlockRequest(() => {});
    Object.assign(request, { op: BlockOp.read, lba: 2 * i, blockCount: 1 });
    request.setData(device.memory.allocate(512), 0, 512);
    return request;
  });
  for (let round = 0; disks[0]!.bad.size > 0; round++) {
    assert.ok(round < 100, `${disks[0]!.bad.size} blocks are bad still`);
    let ended = 0;
    for (const request of requests) {
      request.done = ({ status }) => {
        assert.is(status, BlockStatus.ok);
        ended++;
      };
      device.submit(request);
    }
    await rig.until(mirror, () => ended === requests.length);
  }
  await rig.detach(mirror);
});

test.run();
