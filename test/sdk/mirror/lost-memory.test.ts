import * as assert from 'uvu/assert';
import { writeBlocks } from '../../../sdk/block/promised.js';
import { BlockOp, BlockRequest, BlockStatus } from '../../../sdk/block/request.js';
import { LocalMember } from '../../../sdk/mirror/local-member.js';
import type { MemberAssociation } from '../../../sdk/mirror/port.js';
import { decodeAnswer, encode } from '../../../sdk/mirror/verbs.js';
import { World } from '../../../sim/world.js';
import { suite } from '../../support/suite.js';
import { TakenDevice, TakenSpace } from '../../support/taken-memory.js';

const { clock } = new World();

const ids = { clusterId: 'c'.repeat(32), volumeId: 'a'.repeat(32), memberId: '1'.repeat(32) };
const regionBlocks = 16;

async function open() {
  const space = new TakenSpace();
  const on = { meta: new TakenDevice(space, clock, 64), data: new TakenDevice(space, clock, 256) };
  await LocalMember.format(on, ids, regionBlocks, { isBlank: true });
  const member = await LocalMember.open(on);
  const association = member.associate();
  assert.ok((await adopt(association, 1)).ok);
  return { space, on, member, association };
}

async function adopt(association: MemberAssociation, epoch: number) {
  const token = String(epoch).padStart(32, '0');
  const known = { knownEpoch: 0, knownIncarnation: 0 };
  const verb = { verb: 'adopt' as const, ...ids, ...known, epoch, token, session: 1 };
  return decodeAnswer(await association.control(encode(verb)));
}

/** A write that lies in memory of the card. */
function write({ device }: MemberAssociation, lba: number) {
  const ended = { status: -1 };
  const request = new BlockRequest(({ status }) => {
    ended.status = status;
  });
  request.op = BlockOp.write;
  request.lba = lba;
  request.blockCount = 1;
  request.setData(device.memory.allocate(4096), 0, 4096);
  device.submit(request);
  return ended;
}

const test = suite('members whose memory goes');

test('a write to a region without a mark ends when the card was closed before the mark', async () => {
  const { space, on, member, association } = await open();
  // No room: the mark is put off until the next poll.
  on.meta.isFull = true;
  const ended = write(association, 0);
  space.close();
  on.meta.isFull = false;
  member.poll();
  member.poll();
  assert.is(ended.status, BlockStatus.deviceError);
  const again = await adopt(association, 2);
  assert.is(again.ok, false, 'a member without memory serves nobody');
});

test('the memory of the map stays until the device has let go of it', async () => {
  const { space, member, association } = await open();
  const before = space.heldCount;
  write(association, 0);
  member.close();
  // That of the map, and of the write.
  assert.is(space.heldCount, before + 1);
  member.poll();
  assert.is(space.heldCount, before);
});

test('a member that was closed writes nothing, and is adopted by nobody', async () => {
  const { on, member, association } = await open();
  const ended = write(association, 0);
  member.close();
  for (let i = 0; i < 3; i++) member.poll();
  assert.is(ended.status, BlockStatus.deviceError);
  assert.is(on.data.poll(), 0);
  const again = await adopt(member.associate(), 2);
  assert.ok(!again.ok && /closed/.test(again.text));
});

test('a request waits for room on its device, as that of a card which is being reset', async () => {
  const { on, member, association } = await open();
  await writeBlocks(association.device, 0, new Uint8Array(4096));
  on.data.isFull = true;
  const ended = [write(association, 0), write(association, 200)];
  for (let i = 0; i < 3; i++) member.poll();
  assert.equal(
    ended.map(({ status }) => status),
    [-1, -1],
  );
  on.data.isFull = false;
  for (let i = 0; i < 3; i++) member.poll();
  assert.equal(
    ended.map(({ status }) => status),
    [BlockStatus.ok, BlockStatus.ok],
  );
});

test.run();
