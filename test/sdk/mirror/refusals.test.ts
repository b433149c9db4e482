import * as assert from 'uvu/assert';
import { writeBlocks } from '../../../sdk/block/promised.js';
import { MemoryStore } from '../../../sdk/cluster/memory-store.js';
import { ErrorCode, UltimaError } from '../../../sdk/errors.js';
import { recordKey } from '../../../sdk/mirror/record.js';
import { decodeAnswer, decodeVerb } from '../../../sdk/mirror/verbs.js';
import { suite } from '../../support/suite.js';
import { block, codeOf, firstByte, idOf, Rig, volumeId } from './rig.js';

const test = suite('mirrors refuse');

test('a member of another cluster is named, not written, and not waited for', async () => {
  const rig = new Rig();
  await rig.add(0);
  await rig.add(1, { clusterId: 'd'.repeat(32) });
  await writeBlocks(rig.devices[1]!.data, 3, block(0x77));
  await rig.create(0, 1);
  const mirror = await rig.attach();
  await writeBlocks(mirror.device, 3, block(0x11));
  await rig.until(mirror, () => mirror.status.members[1]!.why.includes('clusterId'));
  assert.is(mirror.status.members[1]!.condition, 'OutOfSync');
  assert.is(await rig.contentOf(1, 3), 0x77);
  await rig.detach(mirror);
});

test('a member of another geometry is named and not written', async () => {
  const rig = new Rig();
  await rig.add(0);
  await rig.add(1, { regionBlocks: 32 });
  await rig.create(0, 1);
  const mirror = await rig.attach();
  await writeBlocks(mirror.device, 3, block(0x11));
  await rig.until(mirror, () => mirror.status.members[1]!.why.includes('regions of 16'));
  assert.is(await rig.contentOf(1, 3), 0);
  await rig.detach(mirror);
});

test('a member whose disk was set back to an older state is named and not read', async () => {
  const rig = await Rig.written(2);
  // As if from an image taken before the mirror was ever attached.
  await rig.add(1, {});
  const mirror = await rig.attach();
  await rig.until(mirror, () => mirror.status.members[1]!.why.includes('older'));
  assert.is(await firstByte(mirror.device, 3), 0x11);
  assert.is(mirror.status.members[1]!.condition, 'OutOfSync');
  await rig.detach(mirror);
});

test('a store that was wiped knows no mirror, and members keep their data', async () => {
  const rig = new Rig();
  await rig.add(0);
  await rig.create(0);
  const first = await rig.attach();
  await writeBlocks(first.device, 3, block(0x11));
  await rig.detach(first);
  rig.store = new MemoryStore(rig.clock);
  assert.is(await codeOf(rig.attach()), 'NOT_FOUND');
  // Made anew under the same identity, it begins with epochs that the member has seen.
  await rig.create(0);
  assert.is(await codeOf(rig.attach({ random: (bytes) => bytes.fill(9) })), 'STORE_ROLLED_BACK');
  assert.is(await rig.contentOf(0, 3), 0x11);
});

test('a store that was set back under a writer stops it, and nothing is written any more', async () => {
  const rig = new Rig();
  for (const id of [0, 1]) await rig.add(id);
  await rig.create(0, 1);
  const key = recordKey(volumeId);
  const { value } = (await rig.store.read(key))!;
  const mirror = await rig.attachWhole();
  await writeBlocks(mirror.device, 3, block(0x11));
  // As a copy has it that was made before anybody attached the mirror.
  await rig.store.commit([], [{ key, value }]);
  await rig.until(mirror, () => mirror.status.state === 'stopped');
  assert.is((await mirror.stopped)?.code, 'STORE_ROLLED_BACK');
  assert.is(await codeOf(writeBlocks(mirror.device, 3, block(0x22))), 'COMMAND_FAILED');
  assert.is(await codeOf(rig.attach({ random: (bytes) => bytes.fill(9) })), 'STORE_ROLLED_BACK');
  for (const member of [0, 1]) assert.is(await rig.contentOf(member, 3), 0x11);
});

test('a second writer is refused, and by force it fences the first', async () => {
  const rig = new Rig();
  await rig.add(0);
  await rig.add(1);
  await rig.create(0, 1);
  const one = await rig.attachWhole();
  await writeBlocks(one.device, 3, block(0x11));
  assert.is(await codeOf(rig.attach({ writer: 'two' })), 'MIRROR_BUSY');
  const two = await rig.attach({ writer: 'two', isForced: true, random: (b) => b.fill(7) });
  await writeBlocks(two.device, 3, block(0x22));
  const late = writeBlocks(one.device, 3, block(0x33));
  assert.is(await codeOf(late), 'COMMAND_FAILED');
  assert.is(one.status.state, 'stopped');
  assert.is(await firstByte(two.device, 3), 0x22);
  await rig.detach(two);
});

test('a connection that is gone is given up without a request, unless it is the last', async () => {
  const rig = new Rig();
  for (const id of [0, 1]) await rig.add(id);
  await rig.create(0, 1);
  const lost = new Set<number>();
  const ports = rig.members.map((member, i) => ({
    ...{ id: idOf(i), isLocal: false },
    connect: async () => {
      if (lost.has(i)) throw new UltimaError(ErrorCode.memberLost, 'gone');
      const local = member.associate();
      return {
        device: local.device,
        control: (message: Uint8Array) => local.control(message),
        close: () => local.close(),
        get isLost() {
          return lost.has(i);
        },
      };
    },
  }));
  const mirror = await rig.attach({ ports });
  await rig.whole(mirror);
  lost.add(1);
  await rig.until(mirror, () => mirror.status.members[1]!.condition === 'OutOfSync');
  lost.add(0);
  const untilNs = rig.clock.nowNs() + 10e9;
  await rig.until(mirror, () => rig.clock.nowNs() > untilNs);
  assert.is(mirror.status.state, 'degraded');
  await rig.detach(mirror);
});

test('bytes that are no verb or no answer are refused, never guessed at', () => {
  const bytesOf = (text: string) => new TextEncoder().encode(text);
  for (const text of [
    '',
    '{',
    'null',
    '[]',
    '{"verb":"adopt"}',
    '{"verb":"clear","regions":[-1]}',
  ]) {
    assert.is(decodeVerb(bytesOf(text)), null, text);
    assert.throws(() => decodeAnswer(bytesOf(text)), /no answer/);
  }
  assert.is(decodeVerb(Uint8Array.of(0xff, 0xfe)), null);
  assert.equal(decodeVerb(bytesOf('{"verb":"mark all"}')), { verb: 'mark all' });
});

test.run();
