import * as assert from 'uvu/assert';
import { writeBlocks } from '../../../sdk/block/promised.js';
import { QosGate } from '../../../sdk/qos/gate.js';
import { suite } from '../../support/suite.js';
import { block, geometry, idOf, Rig } from './rig.js';

const test = suite('shares of resyncs');

const share = { reservation: 0, limit: Number.POSITIVE_INFINITY, weight: 1 };
const unitBytes = 4096;

async function gated(count: number) {
  const rig = new Rig();
  const classes = [];
  for (let index = 0; index < count; index++) {
    const gate = new QosGate(rig.device());
    const [data, background] = [gate.open(share), gate.open({ ...share, reservation: 10_000 })];
    await rig.add(index, { devices: { meta: rig.device(64), data, background } });
    classes.push({ data, background });
  }
  return { rig, classes };
}

test('what a returning member is given goes by the background share, on both sides', async () => {
  const { rig, classes } = await gated(2);
  await rig.create(0, 1);
  const mirror = await rig.attachWhole();
  await writeBlocks(mirror.device, 3, block(0x33));
  await rig.done(mirror, mirror.removeMember(idOf(1)));
  const before = classes.map(({ data, background }) => [
    data.counts.servedUnits,
    background.counts.servedUnits,
  ]);
  await rig.done(mirror, mirror.addMember(rig.port(1)));
  await rig.whole(mirror);
  // Each region is 16 blocks of 512 bytes: two units, read once and written once.
  const units = (geometry.blockCount * geometry.blockBytes) / unitBytes;
  for (const [i, { data, background }] of classes.entries()) {
    assert.is(background.counts.servedUnits - before[i]![1]!, units, `member ${i}`);
    // A flush at the end, and nothing else.
    const flushes = i === 1 ? 1 : 0;
    assert.is(data.counts.servedUnits - before[i]![0]!, flushes, `member ${i}`);
  }
  assert.is(mirror.copiedBytes, geometry.blockCount * geometry.blockBytes);
  await rig.detach(mirror);
});

test('a comparison goes by the background share, and users by theirs', async () => {
  const { rig, classes } = await gated(2);
  await rig.create(0, 1);
  const mirror = await rig.attachWhole();
  const before = classes.map(({ data, background }) => [
    data.counts.servedUnits,
    background.counts.servedUnits,
  ]);
  const verified = mirror.verify();
  await writeBlocks(mirror.device, 200, block(1));
  assert.equal(await rig.done(mirror, verified), []);
  const units = (geometry.blockCount * geometry.blockBytes) / unitBytes;
  for (const [i, { data, background }] of classes.entries()) {
    assert.is(background.counts.servedUnits - before[i]![1]!, units, `member ${i}`);
    assert.is(data.counts.servedUnits - before[i]![0]!, 1, `member ${i}`);
  }
  await rig.detach(mirror);
});

test('what is left of a window goes by the share of users when one of them waits for it', async () => {
  const { rig, classes } = await gated(2);
  await rig.create(0, 1);
  const mirror = await rig.attachWhole();
  await rig.done(mirror, mirror.removeMember(idOf(1)));
  const target = classes[1]!;
  // Each window takes a second of the target's background share.
  const slow = { ...share, limit: 2, limitBurst: 1 };
  target.background.change(slow);
  classes[0]!.background.change(slow);
  await rig.done(mirror, mirror.addMember(rig.port(1)));
  await rig.until(mirror, () => mirror.copiedBytes > 0);
  const before = target.data.counts.servedUnits;
  const writes: Promise<void>[] = [];
  for (let lba = 0; lba < geometry.blockCount; lba += geometry.regionBlocks) {
    writes.push(writeBlocks(mirror.device, lba, block(2)));
  }
  await rig.done(mirror, Promise.all(writes));
  const ofUsers = writes.length;
  // Four windows are under way: of those that a user waited for, the target is written at once.
  assert.ok(target.data.counts.servedUnits - before > ofUsers / 2, "windows by the users' share");
  for (const { background } of classes) background.change(share);
  await rig.whole(mirror);
  assert.is(await rig.contentOf(1, 16), 2);
  await rig.detach(mirror);
});

test.run();
