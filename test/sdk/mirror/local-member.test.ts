import * as assert from 'uvu/assert';
import { MemoryDevice } from '../../../sdk/block/memory.js';
import { readBlocks, writeBlocks } from '../../../sdk/block/promised.js';
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

test.run();
