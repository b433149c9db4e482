import * as assert from 'uvu/assert';
import { NvmeController } from '../../../sdk/nvme/controller.js';
import { SimCard } from '../../../sim/card.js';
import { defineProfile, findProfile, type ProfileChanges } from '../../../sim/profiles/index.js';
import { suite } from '../../support/suite.js';

/** A key that changes nothing is worse than none: every time and rate of a profile must show. */
const test = suite('effects of a profile');
const base = defineProfile(findProfile('simple'), {
  host: { submitNs: 100, completeNs: 100 },
  media: { parallelUnits: 2, jitterPermille: 0 },
});

const times: Readonly<Record<string, ProfileChanges>> = {
  'link.generation': { link: { generation: 4 } },
  'link.lanes': { link: { lanes: 2 } },
  'link.maxPayloadBytes': { link: { maxPayloadBytes: 128 } },
  'link.maxReadBytes': { link: { maxReadBytes: 128 } },
  'link.completionBytes': { link: { completionBytes: 64 } },
  'link.creditReturnNs': { link: { creditReturnNs: 90_000 } },
  'link.postedCreditBytes': { link: { postedCreditBytes: 64, creditReturnNs: 5_000 } },
  'link.readTags': { link: { readTags: 1 } },
  'link.packetOverheadBytes': { link: { packetOverheadBytes: 28 } },
  'link.propagationNs': { link: { propagationNs: 300 } },
  'link.completerNs': { link: { completerNs: 300 } },
  'host.storeNs': { host: { storeNs: 500 } },
  'host.submitNs': { host: { submitNs: 500 } },
  'host.completeNs': { host: { completeNs: 500 } },
  'host.interruptNs': { host: { interruptNs: 9_000 } },
  'firmware.readyNs': { firmware: { readyNs: 2_000_000 } },
  'firmware.disableNs': { firmware: { disableNs: 900_000 } },
  'firmware.shutdownNs': { firmware: { shutdownNs: 9_000_000 } },
  'firmware.fetchNs': { firmware: { fetchNs: 700 } },
  'firmware.decodeNs': { firmware: { decodeNs: 700 } },
  'firmware.completeNs': { firmware: { completeNs: 700 } },
  'firmware.adminNs': { firmware: { adminNs: 9_000 } },
  'media.parallelUnits': { media: { parallelUnits: 1 } },
  'media.readNs': { media: { readNs: 20_000 } },
  'media.readNextNs': { media: { readNextNs: 900 } },
  'media.writeNs': { media: { writeNs: 9_000 } },
  'media.writeNextNs': { media: { writeNextNs: 900 } },
  'media.flushNs': { media: { flushNs: 90_000 } },
  'media.flushNextNs': { media: { flushNextNs: 9_000 } },
  'media.trimNs': { media: { trimNs: 90_000 } },
  'media.jitterPermille': { media: { jitterPermille: 200 } },
};

/** Virtual time of a small life that uses everything. */
async function lifeNs(changes: ProfileChanges): Promise<number> {
  const card = new SimCard({ profile: defineProfile(base, changes) });
  const controller = await NvmeController.open(card.open(), {
    queueEntries: 16,
    completionMode: 'interrupt',
  });
  const namespace = await controller.namespace(1);
  const data = new Uint8Array(16_384).fill(1);
  await Promise.all([0, 100, 200, 300].map((lba) => namespace.write(lba, data)));
  await namespace.flush();
  await Promise.all([0, 100, 200, 300].map((lba) => namespace.read(lba, data)));
  await namespace.deallocate([{ lba: 0, blockCount: 8 }]);
  await controller.shutdown();
  await controller.close();
  card.checker.demandNone();
  return card.world.nowNs;
}

test('the same profile gives the same time', async () => {
  assert.is(await lifeNs({}), await lifeNs({}));
});

test('every time and rate of the profile changes the time of a life', async () => {
  const plainNs = await lifeNs({});
  for (const [key, changes] of Object.entries(times)) {
    assert.is.not(await lifeNs(changes), plainNs, `${key} has no effect`);
  }
});

test('a faster link, faster firmware and faster media each shorten it', async () => {
  const plainNs = await lifeNs({});
  assert.ok((await lifeNs({ link: { generation: 5, lanes: 16 } })) < plainNs);
  assert.ok((await lifeNs({ firmware: { adminNs: 0 } })) < plainNs);
  assert.ok((await lifeNs({ media: { readNs: 1_000 } })) < plainNs);
});

test.run();
