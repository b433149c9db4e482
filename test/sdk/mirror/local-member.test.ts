import * as assert from 'uvu/assert';
import { MemoryDevice } from '../../../sdk/block/memory.js';
import { readBlocks, writeBlocks } from '../../../sdk/block/promised.js';
import { BlockOp, BlockRequest, BlockStatus } from '../../../sdk/block/request.js';
import { LocalMember } from '../../../sdk/mirror/local-member.js';
import type { MemberAssociation } from '../../../sdk/mirror/port.js';
import { type Answer, decodeAnswer, encode } from '../../../sdk/mirror/verbs.js';
import { World } from '../../../sim/world.js';
import { suite } from '../../support/suite.js';
import { assertRejects } from '../cluster/contract.js';

const test = suite('local member');
const ids = { clusterId: 'c'.repeat(32), volumeId: 'a'.repeat(32), memberId: '1'.repeat(32) };
const block = new Uint8Array(4096).fill(7);

function devices() {
  const { clock } = new World();
  const device = (blockCount: number) => new MemoryDevice({ blockBytes: 4096, blockCount, clock });
  return { meta: device(64), data: device(256) };
}

function adopt(association: MemberAssociation, epoch: number, session = 1): Promise<Answer> {
  const token = String(epoch).padStart(32, '0');
  const known = { knownEpoch: 0, knownIncarnation: 0 };
  const verb = { verb: 'adopt' as const, ...ids, ...known, epoch, token, session };
  return association.control(encode(verb)).then(decodeAnswer);
}

test('an epoch below the one that was adopted is refused, also after a restart', async () => {
  const on = devices();
  await LocalMember.format(on, ids, 16);
  const member = await LocalMember.open(on);
  assert.ok((await adopt(member.associate(), 5)).ok);
  for (const life of [member, await LocalMember.open(on)]) {
    const answer = await adopt(life.associate(), 4);
    assert.is(answer.ok, false);
    if (!answer.ok) assert.is(answer.reason, 'epoch');
  }
  assert.ok((await adopt((await LocalMember.open(on)).associate(), 6)).ok);
});

test('only who adopted last reads and writes', async () => {
  const on = devices();
  await LocalMember.format(on, ids, 16);
  const member = await LocalMember.open(on);
  const [first, second] = [member.associate(), member.associate()];
  await assertRejects(() => writeBlocks(first.device, 0, block), /status 4/);
  assert.ok((await adopt(first, 1)).ok);
  await writeBlocks(first.device, 0, block);
  assert.ok((await adopt(second, 2)).ok);
  await assertRejects(() => writeBlocks(first.device, 0, new Uint8Array(4096)), /status 4/);
  await assertRejects(() => readBlocks(first.device, 0, new Uint8Array(4096)), /status 4/);
  const back = new Uint8Array(4096);
  await readBlocks(second.device, 0, back);
  assert.equal(back, block);
});

test('an epoch that is being adopted is obeyed from its arrival on', async () => {
  const on = devices();
  await LocalMember.format(on, ids, 16);
  const member = await LocalMember.open(on);
  const old = member.associate();
  assert.ok((await adopt(old, 1)).ok);
  // Nobody polls yet: the adoption of epoch 6 waits for this write, and epoch 5 comes meanwhile.
  const late = new BlockRequest(() => {});
  Object.assign(late, { op: BlockOp.write, lba: 3, blockCount: 1 });
  late.setData(on.data.memory.allocate(4096), 0, 4096);
  old.device.submit(late);
  const [newer, older] = [member.associate(), member.associate()];
  const adoptions = [adopt(newer, 6), adopt(older, 5)] as const;
  const refused = await adoptions[1];
  assert.is(refused.ok, false);
  if (!refused.ok) assert.equal([refused.reason, refused.epoch], ['epoch', 6]);
  let isOver = false;
  void adoptions[0].then(() => {
    isOver = true;
  });
  for (let i = 0; i < 100 && !isOver; i++) {
    member.poll();
    await null;
  }
  assert.ok((await adoptions[0]).ok);
  assert.is(member.header.epoch, 6);
  await writeBlocks(newer.device, 0, block);
  await assertRejects(() => writeBlocks(older.device, 0, block), /status 4/);
});

/** Its reads, or its writes, fail as somebody says. */
class FlakyDevice extends MemoryDevice {
  isFailing: (request: BlockRequest) => boolean = () => false;
  private failed: BlockRequest[] = [];

  override submit(request: BlockRequest): void {
    if (this.isFailing(request)) this.failed.push(request);
    else super.submit(request);
  }

  override poll(): number {
    for (const request of this.failed.splice(0)) {
      request.status = BlockStatus.mediaError;
      request.done(request);
    }
    return super.poll();
  }
}

function flaky() {
  const { clock } = new World();
  const meta = new FlakyDevice({ blockBytes: 512, blockCount: 64, clock });
  return { meta, data: new MemoryDevice({ blockBytes: 4096, blockCount: 256, clock }) };
}

test('a copy of the header that cannot be read does not take the member back', async () => {
  for (const copy of [0, 1]) {
    for (let epoch = 5; epoch < 8; epoch++) {
      const on = flaky();
      await LocalMember.format(on, ids, 16);
      const member = await LocalMember.open(on);
      for (let each = 4; each <= epoch; each++) {
        assert.ok((await adopt(member.associate(), each)).ok);
      }
      // For a moment only: what is written then is there for good.
      on.meta.isFailing = ({ op, lba }) => op === BlockOp.read && Math.floor(lba / 8) === copy;
      const back = await LocalMember.open(on);
      on.meta.isFailing = () => false;
      assert.is(back.header.epoch, epoch, `copy ${copy}`);
      assert.is((await LocalMember.open(on)).header.epoch, epoch, `copy ${copy}`);
    }
  }
});

test('a member whose metadata stops being written at any point has the old epoch or the new', async () => {
  for (let step = 0; step < 4; step++) {
    const on = flaky();
    await LocalMember.format(on, ids, 16);
    const member = await LocalMember.open(on);
    assert.ok((await adopt(member.associate(), 3)).ok);
    let writes = 0;
    on.meta.isFailing = ({ op }) => op === BlockOp.write && writes++ >= step;
    const isAdopted = (await adopt(member.associate(), 4)).ok;
    assert.is(isAdopted, step >= 2, `${step} writes`);
    on.meta.isFailing = () => false;
    const { epoch } = (await LocalMember.open(on)).header;
    assert.ok(epoch === 4 || (epoch === 3 && !isAdopted), `${step} writes, epoch ${epoch}`);
  }
});

/** Regions of one block: 4064 of them to each block of the map. */
const grownBlocks = 10_000;

/** Its meta device has room for the map of 256 regions, and grows when it is told to. */
async function growing() {
  const { clock } = new World();
  const metaBlocks = LocalMember.metaBytes(512, {
    blockBytes: 4096,
    blockCount: 256,
    regionBlocks: 1,
  });
  const meta = new FlakyDevice({ blockBytes: 512, blockCount: metaBlocks / 512, clock });
  const data = new MemoryDevice({ blockBytes: 4096, blockCount: 256, clock });
  const fixed = async (): Promise<void> => {};
  const grow = async (to: { dataBytes: number; metaBytes: number }): Promise<void> => {
    data.blockCount = Math.max(data.blockCount, to.dataBytes / 4096);
    meta.blockCount = Math.max(meta.blockCount, to.metaBytes / 512);
  };
  const on = { meta, data, volume: { seal: fixed, restore: fixed, remove: fixed, grow } };
  await LocalMember.format(on, ids, 1);
  const member = await LocalMember.open(on);
  const association = member.associate();
  assert.ok((await adopt(association, 1)).ok);
  const regions = Array.from({ length: 256 }, (_, region) => region);
  await association.control(encode({ verb: 'clear', regions }));
  for (let i = 0; i < 10; i++) member.poll();
  const verb = encode({ verb: 'grow', blockCount: grownBlocks });
  return { on, member, association, grow: () => association.control(verb).then(decodeAnswer) };
}

test('a member that grows knows of its new regions that they are not written, and keeps the old', async () => {
  const { on, association, grow } = await growing();
  await writeBlocks(association.device, 7, block);
  const answer = await grow();
  assert.is(answer.ok && answer.adopted?.blockCount, grownBlocks);
  await writeBlocks(association.device, 9_999, block);
  const back = await LocalMember.open(on);
  assert.is(back.header.blockCount, grownBlocks);
  const set = Array.from({ length: grownBlocks }, (_, i) => i).filter((i) => back.map.isSet(i));
  assert.equal(set, [7, 9_999]);
});

test('a member whose metadata stops being written while it grows has the old size or the new', async () => {
  // Two blocks of the map, then the header twice.
  for (let step = 0; step < 5; step++) {
    const { on, member, association, grow } = await growing();
    let writes = 0;
    on.meta.isFailing = ({ op }) => op === BlockOp.write && writes++ >= step;
    const isGrown = (await grow()).ok;
    assert.is(isGrown, step === 4, `${step} writes`);
    assert.is(association.device.blockCount, isGrown ? grownBlocks : 256);
    on.meta.isFailing = () => false;
    const { blockCount } = (await LocalMember.open(on)).header;
    assert.ok(blockCount === grownBlocks || (blockCount === 256 && step < 4), `${step} writes`);
    // Asked again, it grows.
    const again = member.associate();
    const adopted = await adopt(again, 2);
    assert.ok(adopted.ok, `${step} writes`);
    if (adopted.ok) assert.is(adopted.adopted?.bits.length, isGrown ? 2 * 1250 : 2 * 32);
    const verb = encode({ verb: 'grow', blockCount: grownBlocks });
    assert.ok(decodeAnswer(await again.control(verb)).ok, `${step} writes`);
    await writeBlocks(again.device, 9_999, block);
    assert.is((await LocalMember.open(on)).header.blockCount, grownBlocks);
  }
});

test.run();
