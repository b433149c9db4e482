import * as assert from 'uvu/assert';
import { writeBlocks } from '../../../sdk/block/promised.js';
import type { BlockRequest } from '../../../sdk/block/request.js';
import { ErrorCode, UltimaError } from '../../../sdk/errors.js';
import { suite } from '../../support/suite.js';
import { block, codeOf, firstByte, geometry, Rig, RigDevice } from './rig.js';

const test = suite('fresh mirrors');
const { blockBytes, blockCount } = geometry;

/** Counts what is asked of it. */
class CountingDevice extends RigDevice {
  requests = 0;

  override submit(request: BlockRequest): void {
    this.requests++;
    super.submit(request);
  }
}

async function fresh(...areBlank: boolean[]) {
  const rig = new Rig();
  const counted: CountingDevice[] = [];
  for (const [index, isBlank] of areBlank.entries()) {
    const data = new CountingDevice({ blockBytes, clock: rig.clock, blockCount });
    counted.push(data);
    await rig.add(index, { devices: { meta: rig.device(64), data }, isBlank });
  }
  await rig.create(...areBlank.keys());
  const requests = (): number => counted.reduce((sum, each) => sum + each.requests, 0);
  return { rig, requests };
}

test('members that are all new and blank are not read, and agree', async () => {
  const { rig, requests } = await fresh(true, true, true);
  const mirror = await rig.attach();
  const { state, unreconciledRegions, markedRegions } = mirror.status;
  assert.equal([state, unreconciledRegions, markedRegions], ['serving', 0, 0]);
  assert.is(requests(), 0);
  await writeBlocks(mirror.device, 3, block(0x11));
  for (const index of [0, 1, 2]) assert.is(await rig.contentOf(index, 3), 0x11);
  await rig.detach(mirror);
});

test('one that may have something is compared with the others', async () => {
  const { rig, requests } = await fresh(true, false);
  await writeBlocks(rig.devices[1]!.data, 200, block(0x22));
  const mirror = await rig.attachWhole();
  const read = await firstByte(mirror.device, 200);
  assert.equal([await rig.contentOf(0, 200), await rig.contentOf(1, 200)], [read, read]);
  // Both read all of it, in chunks of a region.
  assert.ok(requests() >= (2 * blockCount) / geometry.regionBlocks);
  await rig.detach(mirror);
});

test('a blank member that a writer had before is compared: it may have been written', async () => {
  const { rig } = await fresh(true, true);
  const { store } = rig;
  const commit = store.commit.bind(store);
  let commits = 0;
  store.commit = (...given) => {
    // The claim goes through, and what follows it does not.
    const isAway = ++commits === 2;
    if (isAway) throw new UltimaError(ErrorCode.storeUnreachable, 'away');
    return commit(...given);
  };
  assert.is(await codeOf(rig.attach()), ErrorCode.storeUnreachable);
  await writeBlocks(rig.devices[1]!.data, 200, block(0x22));
  const mirror = await rig.attach();
  assert.is(mirror.status.unreconciledRegions, blockCount / geometry.regionBlocks);
  await rig.whole(mirror);
  assert.equal([await rig.contentOf(0, 200), await rig.contentOf(1, 200)], [0, 0]);
  await rig.detach(mirror);
});

test('a member that was away when its mirror was attached first gets everything', async () => {
  const { rig } = await fresh(true, true);
  const mirror = await rig.attach({ ports: [rig.port(0)] });
  await writeBlocks(mirror.device, 200, block(0x22));
  await rig.detach(mirror);
  const whole = await rig.attachWhole();
  assert.is(await rig.contentOf(1, 200), 0x22);
  await rig.detach(whole);
});

test.run();
