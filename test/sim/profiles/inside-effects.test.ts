import * as assert from 'uvu/assert';
import { NvmeController } from '../../../sdk/nvme/controller.js';
import { KiB, MiB } from '../../../sdk/units.js';
import { SimCard } from '../../../sim/card.js';
import { defineProfile, findProfile, type ProfileChanges } from '../../../sim/profiles/index.js';
import { suite } from '../../support/suite.js';

/** A key that changes nothing is worse than none: every number of an inside must show. */
const test = suite('effects of an inside');

type InsideChanges = NonNullable<ProfileChanges['inside']>;

const p3700 = findProfile('p3700');
const base = defineProfile(p3700, {
  cache: { isVolatile: true },
  subsystem: { capacityBytes: 512 * MiB },
  namespaces: [{ ...p3700.namespaces[0]!, bytes: 256 * MiB }],
  inside: {
    buffer: { writeBytes: 2 * MiB, readBytes: 64 * KiB },
    flash: { channels: 2, diesPerPackage: 2, blocksPerPlane: 40 },
    ftl: { streams: 1 },
  },
});

const stage = { cycles: 40_000 };
const changes: Readonly<Record<string, InsideChanges>> = {
  'cores.clockMegahertz': { cores: { clockMegahertz: 400 } },
  'cores.frontCores': { cores: { frontCores: 3 } },
  'cores.backCores': { cores: { backCores: 1 }, stages: { cache: stage } },
  'cores.slotCycles': { cores: { slotCycles: 20_000 } },
  'stages.fetch.cycles': { stages: { fetch: stage } },
  'stages.decode.cycles': { stages: { decode: stage } },
  'stages.decode.isHardware': { stages: { decode: { isHardware: true } } },
  'stages.walk.cycles': { stages: { walk: stage } },
  'stages.lookup.cycles': { stages: { lookup: stage } },
  'stages.cache.cycles': { stages: { cache: stage } },
  'stages.issue.cycles': { stages: { issue: stage } },
  'stages.complete.cycles': { stages: { complete: stage } },
  'stages.interrupt.cycles': { stages: { interrupt: stage } },
  'buffer.writeBytes': { buffer: { writeBytes: 1 * MiB } },
  'buffer.readBytes': { buffer: { readBytes: 0 } },
  'buffer.copyNs': { buffer: { copyNs: 50_000 } },
  'buffer.drainPermille': { buffer: { drainPermille: 900 } },
  'buffer.rowsPerDie': { buffer: { rowsPerDie: 1 } },
  'buffer.reservedPermille': { buffer: { reservedPermille: 500 } },
  drives: { drives: 2, buffer: { writeBytes: 4 * MiB } },
  stripeBytes: { drives: 2, stripeBytes: 64 * KiB, buffer: { writeBytes: 4 * MiB } },
};

/** What a change is compared with, when it only shows on top of another one. */
const bases: Readonly<Record<string, InsideChanges>> = {
  'cores.backCores': { stages: { cache: stage } },
  drives: { buffer: { writeBytes: 4 * MiB } },
  stripeBytes: { drives: 2, buffer: { writeBytes: 4 * MiB } },
};

/** Virtual time of a small life that uses everything. */
async function lifeNs(inside: InsideChanges): Promise<number> {
  const card = new SimCard({ profile: defineProfile(base, { inside }), seed: 3 });
  card.fill();
  const controller = await NvmeController.open(card.open(), {
    queueEntries: 256,
    completionMode: 'interrupt',
  });
  const namespace = await controller.namespace(1);
  const data = new Uint8Array(64 * KiB).fill(1);
  const all = Array.from({ length: 100 }, (_, i) => i * 23);
  await Promise.all(all.map((lba) => namespace.write(lba, data)));
  await namespace.flush();
  await Promise.all(all.map((lba) => namespace.read(4000 + lba, data)));
  await namespace.read(3, data);
  await namespace.read(3, data);
  await namespace.deallocate([{ lba: 0, blockCount: 8 }]);
  await controller.shutdown();
  await controller.close();
  card.checker.demandNone();
  await card.close();
  return card.world.nowNs;
}

test('every number of the inside changes the time of a life', async () => {
  for (const [key, inside] of Object.entries(changes)) {
    const before = await lifeNs(bases[key] ?? {});
    assert.is.not(await lifeNs(inside), before, `${key} has no effect`);
  }
});

test('the same inside gives the same time', async () => {
  assert.is(await lifeNs({}), await lifeNs({}));
});

test.run();
