import * as assert from 'uvu/assert';
import { readBlocks, writeBlocks } from '../../../sdk/block/promised.js';
import { ErrorCode, UltimaError } from '../../../sdk/errors.js';
import type { Mirror } from '../../../sdk/mirror/mirror.js';
import { suite } from '../../support/suite.js';
import { block, codeOf, firstByte, geometry, Rig, type RigDevice } from './rig.js';

const test = suite('verbs of mirrors');

type Conduct = 'obeys' | 'refuses' | 'is silent';

/** Snapshots of a member, and how it takes the next restore. */
class RigVolume {
  conduct: Conduct = 'obeys';
  private readonly kept = new Map<string, Uint8Array>();
  private goOn: () => void = () => {};

  private readonly data: RigDevice;

  constructor(data: RigDevice) {
    this.data = data;
  }

  async seal(name: string): Promise<void> {
    const content = new Uint8Array(geometry.blockCount * geometry.blockBytes);
    await readBlocks(this.data, 0, content);
    this.kept.set(name, content);
  }

  async restore(name: string): Promise<void> {
    if (this.conduct === 'refuses') throw new UltimaError(ErrorCode.poolFull, 'no space');
    if (this.conduct === 'is silent') {
      await new Promise<void>((resolve) => {
        this.goOn = resolve;
      });
    }
    await writeBlocks(this.data, 0, this.kept.get(name)!);
  }

  async remove(name: string): Promise<void> {
    this.kept.delete(name);
  }

  /** The silent one does what it was asked for, late. */
  speak(): void {
    this.goOn();
  }
}

interface Setting {
  readonly rig: Rig;
  readonly mirror: Mirror;
  readonly volumes: readonly RigVolume[];
}

/** Two members with 0x11 in a snapshot and 0x22 since. */
async function begin(): Promise<Setting> {
  const rig = new Rig();
  const volumes: RigVolume[] = [];
  for (const index of [0, 1]) {
    const data = rig.device();
    const volume = new RigVolume(data);
    volumes.push(volume);
    await rig.add(index, { devices: { meta: rig.device(64), data, volume } });
  }
  await rig.create(0, 1);
  const mirror = await rig.attachWhole();
  await writeBlocks(mirror.device, 3, block(0x11));
  await rig.done(mirror, mirror.snapshot('s'));
  await writeBlocks(mirror.device, 3, block(0x22));
  return { rig, mirror, volumes };
}

test('a restore that all members refuse has not happened, and the mirror goes on', async () => {
  const { rig, mirror, volumes } = await begin();
  for (const volume of volumes) volume.conduct = 'refuses';
  assert.is(await codeOf(rig.done(mirror, mirror.restore('s'))), ErrorCode.memberRefused);
  assert.is(await firstByte(mirror.device, 3), 0x22);
  assert.equal(
    mirror.status.members.map(({ condition }) => condition),
    ['InUse', 'InUse'],
  );
  for (const volume of volumes) volume.conduct = 'obeys';
  await rig.done(mirror, mirror.restore('s'));
  assert.is(await firstByte(mirror.device, 3), 0x11);
  await rig.detach(mirror);
});

test('a restore that no member answers may yet happen: nobody reads meanwhile', async () => {
  const { rig, mirror, volumes } = await begin();
  for (const volume of volumes) volume.conduct = 'is silent';
  const work = mirror.restore('s');
  assert.is(await codeOf(rig.done(mirror, work)), ErrorCode.mirrorLost);
  assert.is(mirror.status.state, 'stopped');
  for (const volume of volumes) volume.speak();
  const next = await rig.attachWhole({ isForced: true });
  assert.is(await firstByte(next.device, 3), 0x11);
  for (const index of [0, 1]) assert.is(await rig.contentOf(index, 3), 0x11);
  await rig.detach(next);
});

test('beside a member that refuses a restore, one that does not answer is out', async () => {
  const { rig, mirror, volumes } = await begin();
  volumes[0]!.conduct = 'refuses';
  volumes[1]!.conduct = 'is silent';
  assert.is(await codeOf(rig.done(mirror, mirror.restore('s'))), ErrorCode.memberRefused);
  assert.is(await firstByte(mirror.device, 3), 0x22);
  volumes[1]!.speak();
  // It went back, late, and comes back with what all others have.
  await rig.whole(mirror);
  await rig.until(mirror, () => mirror.status.members[1]!.condition === 'InUse');
  assert.is(await rig.contentOf(1, 3), 0x22);
  for (let lba = 0; lba < geometry.blockCount; lba++) {
    assert.is(await rig.contentOf(1, lba), await rig.contentOf(0, lba));
  }
  await rig.detach(mirror);
});

test.run();
