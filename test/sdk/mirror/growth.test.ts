import * as assert from 'uvu/assert';
import { readBlocks, writeBlocks } from '../../../sdk/block/promised.js';
import { ErrorCode, UltimaError } from '../../../sdk/errors.js';
import { LocalMember } from '../../../sdk/mirror/local-member.js';
import { writeHeader } from '../../../sdk/mirror/member-header.js';
import type { MemberPort, MemberVolume } from '../../../sdk/mirror/port.js';
import { decodeRecord, recordKey } from '../../../sdk/mirror/record.js';
import type { MirrorStep } from '../../support/mirror-plan.js';
import { MirrorStorm } from '../../support/mirror-storm.js';
import { suite } from '../../support/suite.js';
import { assertRejects } from '../cluster/contract.js';
import { block, firstByte, geometry, Rig, RigDevice, volumeId } from './rig.js';

const test = suite('mirrors that grow');
const { blockBytes, blockCount: first } = geometry;
/** Ends inside a region, as does what follows. */
const larger = first + 37;

/** A device of a volume that grows. */
class Growing extends RigDevice implements MemberVolume {
  isStuck = false;

  async grow({ dataBytes }: { readonly dataBytes: number }): Promise<void> {
    if (this.isStuck) throw new UltimaError(ErrorCode.poolFull, 'no room');
    this.blockCount = Math.max(this.blockCount, dataBytes / blockBytes);
  }

  async seal(): Promise<void> {}
  async restore(): Promise<void> {}
  async remove(): Promise<void> {}
}

class GrowingRig extends Rig {
  readonly volumes: Growing[] = [];

  async start(...indexes: number[]): Promise<void> {
    for (const index of indexes) await this.addGrowing(index);
    await this.create(...indexes);
  }

  async addGrowing(index: number, blockCount: number = first): Promise<void> {
    const volume = new Growing({ blockBytes, clock: this.clock, blockCount });
    this.volumes[index] = volume;
    await this.add(index, { devices: { meta: this.device(64), data: volume, volume } });
  }

  get sizes(): number[] {
    return this.members.map(({ header }) => header.blockCount);
  }

  async listed() {
    const entry = await this.store.read(recordKey(volumeId));
    return decodeRecord(entry!.value, volumeId);
  }

  next(writer: string): ReturnType<Rig['attachWhole']> {
    const random = (bytes: Uint8Array): void => void bytes.fill(writer.length);
    return this.attachWhole({ writer, isForced: true, random });
  }
}

test('what a volume grew by reads as zeroes, is written on all members and kept', async () => {
  const rig = new GrowingRig();
  await rig.start(0, 1, 2);
  const mirror = await rig.attachWhole();
  await writeBlocks(mirror.device, first - 1, block(0x11));
  await rig.done(mirror, mirror.grow(larger));
  assert.equal([mirror.device.blockCount, ...rig.sizes], [larger, larger, larger, larger]);
  const all = new Uint8Array((larger - first) * blockBytes).fill(1);
  await readBlocks(mirror.device, first, all);
  assert.ok(all.every((byte) => byte === 0));
  await writeBlocks(mirror.device, larger - 1, block(0x22));
  await rig.detach(mirror);
  const after = await rig.next('two');
  assert.is(after.device.blockCount, larger);
  assert.is(await firstByte(after.device, first - 1), 0x11);
  for (const index of [0, 1, 2]) assert.is(await rig.contentOf(index, larger - 1), 0x22);
  await rig.detach(after);
});

test('a volume does not shrink, and does not outgrow what its maps can say', async () => {
  const rig = new GrowingRig();
  await rig.start(0);
  const mirror = await rig.attachWhole();
  for (const [blocks, text] of [
    [first - 1, /256 blocks of 512 bytes; it cannot shrink to 255/],
    [2 ** 30 + 1, /can have 1073741824 with such regions, not 1073741825/],
    [first + 0.5, /not 256.5/],
  ] as const) {
    const error = await rig.done(
      mirror,
      mirror.grow(blocks).catch((each: Error) => each),
    );
    assert.instance(error, RangeError);
    assert.match(String(error), text);
  }
  assert.is(mirror.device.blockCount, first);
  await rig.done(mirror, mirror.grow(first));
  assert.is((await rig.listed()).blockCount, first);
  await rig.detach(mirror);
});

test('of two who want a volume larger at one time each has at least what it asked for', async () => {
  const rig = new GrowingRig();
  await rig.start(0, 1);
  const mirror = await rig.attachWhole();
  const both = Promise.all([mirror.grow(larger + 1), mirror.grow(larger)]);
  await rig.done(mirror, both);
  assert.equal([mirror.device.blockCount, ...rig.sizes], [larger + 1, larger + 1, larger + 1]);
  await rig.detach(mirror);
});

test('a member that cannot grow is out, and one that is alone keeps the old size', async () => {
  const rig = new GrowingRig();
  await rig.start(0, 1);
  const mirror = await rig.attachWhole();
  for (const volume of rig.volumes) volume.isStuck = true;
  const refused = await rig.done(
    mirror,
    mirror.grow(larger).catch((each: Error) => each),
  );
  assert.match(String(refused), /no member did grow: nothing has changed/);
  assert.is((await rig.listed()).blockCount, first);
  assert.is(mirror.status.state, 'serving');
  rig.volumes[0]!.isStuck = false;
  await rig.done(mirror, mirror.grow(larger));
  assert.is(mirror.status.members[1]!.condition, 'OutOfSync');
  await writeBlocks(mirror.device, larger - 1, block(0x22));
  // It is made larger before it gets what it missed.
  rig.volumes[1]!.isStuck = false;
  await rig.whole(mirror);
  assert.equal(rig.sizes, [larger, larger]);
  assert.is(await rig.contentOf(1, larger - 1), 0x22);
  await rig.detach(mirror);
});

test('a member that is smaller than it was is from the past, and not used', async () => {
  const rig = new GrowingRig();
  await rig.start(0, 1);
  const mirror = await rig.attachWhole();
  await rig.done(mirror, mirror.grow(larger));
  await rig.detach(mirror);
  // As if its header were one of before, all else being as it was.
  const { header } = rig.members[1]!;
  await writeHeader(rig.devices[1]!.meta, { ...header, blockCount: first });
  rig.members[1] = await LocalMember.open(rig.devices[1]!);
  const after = await rig.attach({ writer: 'two' });
  assert.match(after.status.members[1]!.why, /not in sync when/);
  await writeBlocks(after.device, larger - 1, block(0x33));
  await rig.whole(after);
  assert.is(await rig.contentOf(1, larger - 1), 0x33);
  await rig.detach(after);
});

test('members that are larger than the record serve as far as it goes', async () => {
  const rig = new GrowingRig();
  await rig.start(0, 1);
  const mirror = await rig.attachWhole();
  const commit = rig.store.commit.bind(rig.store);
  rig.store.commit = () => Promise.reject(new UltimaError(ErrorCode.storeUnreachable, 'away'));
  void mirror.grow(larger).catch(() => {});
  await rig.until(mirror, () => rig.sizes.every((blocks) => blocks === larger));
  assert.is(mirror.device.blockCount, first);
  // The writer is never heard of again.
  rig.store.commit = commit;
  const after = await rig.next('three');
  assert.is(after.device.blockCount, first);
  await assertRejects(() => readBlocks(after.device, first, block(0)), /blocks 0\.\.255/);
  await rig.done(after, after.grow(first + 5));
  assert.equal([after.device.blockCount, ...rig.sizes], [first + 5, larger, larger]);
  await writeBlocks(after.device, first + 4, block(0x44));
  assert.equal(
    [await rig.contentOf(0, first + 4), await rig.contentOf(1, first + 4)],
    [0x44, 0x44],
  );
  await rig.detach(after);
});

test('what members that were larger from the beginning differ in is made equal', async () => {
  const rig = new GrowingRig();
  for (const index of [0, 1]) await rig.addGrowing(index, larger + 3);
  for (const lba of [first, larger - 1, larger + 2]) {
    for (const index of [0, 1]) await writeBlocks(rig.volumes[index]!, lba, block(0x50 + index));
  }
  await rig.create(0, 1);
  // In two steps: the second begins inside a region that nobody has marked any more.
  for (const blocks of [larger, larger + 3]) {
    const mirror = await rig.next(`to ${blocks} blocks`);
    await rig.done(mirror, mirror.grow(blocks));
    for (const lba of [first, larger - 1, blocks - 1]) {
      const read = await firstByte(mirror.device, lba);
      assert.equal([await rig.contentOf(0, lba), await rig.contentOf(1, lba)], [read, read]);
    }
    await rig.detach(mirror);
  }
});

test('a member that comes back while a volume grows has the new size when it is used', async () => {
  const rig = new GrowingRig();
  await rig.start(0, 1);
  let isAway = true;
  const way: MemberPort = {
    ...rig.port(1),
    connect: () => {
      if (isAway) throw new UltimaError(ErrorCode.memberLost, 'away');
      return rig.port(1).connect();
    },
  };
  const mirror = await rig.attach({ ports: [rig.port(0), way] });
  const commit = rig.store.commit.bind(rig.store);
  rig.store.commit = () => Promise.reject(new UltimaError(ErrorCode.storeUnreachable, 'away'));
  const growing = mirror.grow(larger);
  await rig.until(mirror, () => rig.sizes[0] === larger);
  isAway = false;
  for (let i = 0; i < 2_000; i++) {
    mirror.device.poll();
    await rig.clock.turn(rig.clock.nowNs() + 1e6);
  }
  rig.store.commit = commit;
  await rig.done(mirror, growing);
  await writeBlocks(mirror.device, larger - 1, block(0x22));
  await rig.whole(mirror);
  assert.is(await rig.contentOf(1, larger - 1), 0x22);
  await rig.detach(mirror);
});

test('a member that is being brought up grows with the others', async () => {
  const rig = new GrowingRig();
  await rig.start(0);
  await rig.addGrowing(1);
  const mirror = await rig.attachWhole({ resyncBytesPerSecond: 64 * 1024 });
  await rig.done(mirror, mirror.addMember(rig.port(1)));
  await rig.until(mirror, () => mirror.copiedBytes > 0);
  await rig.done(mirror, mirror.grow(larger));
  assert.is(mirror.status.members[1]!.condition, 'Resync');
  await rig.whole(mirror);
  // Each block once: it was not begun anew.
  assert.is(mirror.copiedBytes, first * blockBytes);
  assert.equal(rig.sizes, [larger, larger]);
  await rig.detach(mirror);
});

test('what is new is used when every connection shows it', async () => {
  const rig = new GrowingRig();
  await rig.start(0, 1);
  let shown: number = first;
  const port = rig.port(1);
  const connect: MemberPort['connect'] = async () => {
    const association = await port.connect();
    Object.defineProperty(association.device, 'blockCount', { get: () => shown });
    return association;
  };
  const mirror = await rig.attachWhole({ ports: [rig.port(0), { ...port, connect }] });
  const growing = mirror.grow(larger);
  await rig.until(mirror, () => rig.sizes[1] === larger);
  for (let i = 0; i < 100; i++) {
    mirror.device.poll();
    await rig.clock.turn(rig.clock.nowNs() + 1e6);
  }
  assert.equal([mirror.device.blockCount, (await rig.listed()).blockCount], [first, first]);
  shown = larger;
  await rig.done(mirror, growing);
  await writeBlocks(mirror.device, larger - 1, block(0x22));
  assert.is(await rig.contentOf(1, larger - 1), 0x22);
  // One that never shows it is out.
  await rig.done(mirror, mirror.grow(larger + 1));
  assert.is(mirror.status.members[1]!.condition, 'OutOfSync');
  await rig.detach(mirror);
});

/** What may happen while a volume grows, and whether its writer goes on. */
const shocks = [
  ['kill', false],
  ['power cut', false],
  ['blackout', false],
  ['isolate', false],
  ['partition', true],
  ['store out', true],
] as const;
const moments = 12;

function step(kind: MirrorStep['kind'], runUs: number, more: Partial<MirrorStep> = {}): MirrorStep {
  return { kind, node: 0, other: 1, lastsUs: 6000, ...more, runUs };
}

for (const [kind, goesOn] of shocks) {
  test(`a volume grows whole or not at all, whenever there is a ${kind}`, async () => {
    let grown = 0;
    for (let moment = 0; moment < moments; moment++) {
      const tally: Record<string, number> = {};
      const atUs = 50 * moment;
      const plan = [
        step('attach', 3000),
        step('grow', atUs, { other: 7 }),
        // The writer, or another node with a member.
        step(kind, 2500, { node: moment % 2 }),
        step('force', 2500, { node: 1 }),
      ];
      const violation = await new MirrorStorm(moment, tally).run(plan);
      assert.is(violation, null, `${kind} after ${atUs} us`);
      grown += tally.grown ?? 0;
    }
    assert.ok(grown > 0 && (goesOn || grown < moments), `${grown} of ${moments} grew in time`);
  });
}

test.run();
