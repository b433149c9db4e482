import * as assert from 'uvu/assert';
import { writeBlocks } from '../../../sdk/block/promised.js';
import { BlockOp, BlockRequest, BlockStatus } from '../../../sdk/block/request.js';
import { ErrorCode, UltimaError } from '../../../sdk/errors.js';
import type { MemberAssociation, MemberPort } from '../../../sdk/mirror/port.js';
import { suite } from '../../support/suite.js';
import { block, codeOf, firstByte, Rig } from './rig.js';

const test = suite('members that return');

/** A way to a member that requests get lost on, and that is not there at times. */
function weak(port: MemberPort) {
  const way = { ...port, losesWrites: false, losesReads: false, isAway: false, connect };
  async function connect(): Promise<MemberAssociation> {
    // Never answered: whoever asks gives up after a while.
    if (way.isAway) return new Promise(() => {});
    const association = await port.connect();
    const { device } = association;
    const lost: BlockRequest[] = [];
    const submit = device.submit.bind(device);
    const poll = device.poll.bind(device);
    const close = association.close.bind(association);
    let isClosed = false;
    device.submit = (request) => {
      const isLost = request.op === BlockOp.write ? way.losesWrites : way.losesReads;
      if (isLost && !isClosed) lost.push(request);
      else submit(request);
    };
    device.poll = () => {
      for (const request of isClosed ? lost.splice(0) : []) {
        request.status = BlockStatus.unknown;
        request.done(request);
      }
      return poll();
    };
    association.close = () => {
      isClosed = true;
      close();
    };
    return association;
  }
  return way;
}

test('a member that has what nobody else was written gets back what all others have', async () => {
  // Nothing is marked.
  const rig = await Rig.written(2);
  const ways = [weak(rig.port(0)), weak(rig.port(1))];
  const lost = await rig.attachWhole({ ports: ways });
  ways[0]!.losesWrites = true;
  // Its write reaches member 1 only, and it is not heard of again.
  const unanswered = codeOf(writeBlocks(lost.device, 3, block(0x22)));
  for (let i = 0; i < 20; i++) lost.device.poll();
  assert.is(await rig.contentOf(1, 3), 0x22);
  const next = weak(rig.port(1));
  next.isAway = true;
  const options = { ports: [rig.port(0), next], writer: 'two', isForced: true };
  const random = (bytes: Uint8Array): void => void bytes.fill(9);
  const mirror = await rig.attach({ ...options, random });
  assert.is(await firstByte(mirror.device, 3), 0x11);
  const second = () => mirror.status.members[1]!;
  assert.is.not(second().why, '');
  next.isAway = false;
  await rig.until(mirror, () => second().condition !== 'OutOfSync');
  assert.is(second().why, '', 'what kept it away is over');
  await rig.whole(mirror);
  assert.equal([await rig.contentOf(0, 3), await rig.contentOf(1, 3)], [0x11, 0x11]);
  await rig.detach(mirror);
  assert.is(await unanswered, 'COMMAND_FAILED');
});

test('what members may disagree on is not read before the store knows who is out', async () => {
  const rig = await Rig.written(2);
  const ways = [weak(rig.port(0)), weak(rig.port(1))];
  const dead = await rig.attachWhole({ ports: ways });
  ways[0]!.losesWrites = true;
  const unanswered = codeOf(writeBlocks(dead.device, 3, block(0x22)));
  for (let i = 0; i < 20; i++) dead.device.poll();
  // The next writer can ask member 0 nothing, and has no store to say so to.
  const others = [weak(rig.port(0)), weak(rig.port(1))];
  others[0]!.losesReads = true;
  const random = (bytes: Uint8Array): void => void bytes.fill(9);
  const mirror = await rig.attach({ ports: others, writer: 'two', isForced: true, random });
  const { store } = rig;
  const commit = store.commit.bind(store);
  store.commit = () => Promise.reject(new UltimaError(ErrorCode.storeUnreachable, 'away'));
  const read = new BlockRequest(() => {
    isRead = true;
  });
  let isRead = false;
  read.lba = 3;
  read.blockCount = 1;
  read.setData(mirror.device.memory.allocate(512), 0, 512);
  mirror.device.submit(read);
  await rig.until(mirror, () => mirror.status.members[0]!.condition !== 'InUse');
  for (let i = 0; i < 1_000; i++) {
    mirror.device.poll();
    await rig.clock.turn(rig.clock.nowNs() + 1e6);
  }
  // Member 0 is listed and has 0x11: whoever came next would read that.
  assert.is(isRead, false);
  store.commit = commit;
  await rig.until(mirror, () => isRead);
  assert.equal([read.status, read.region!.bytes[0]], [BlockStatus.ok, 0x22]);
  others[0]!.losesReads = false;
  await rig.whole(mirror);
  assert.equal([await rig.contentOf(0, 3), await rig.contentOf(1, 3)], [0x22, 0x22]);
  await rig.detach(mirror);
  assert.is(await unanswered, 'COMMAND_FAILED');
});

test.run();
