import * as assert from 'uvu/assert';
import { NvmeController } from '../../../sdk/nvme/controller.js';
import { MiB } from '../../../sdk/units.js';
import { SimCard } from '../../../sim/card.js';
import { suite } from '../../support/suite.js';
import { plainProfile } from './inside-rig.js';

const test = suite('the end of a drive');

/** Two dies of 32 blocks that fail at every erase beyond their tenth. */
const shortLived = plainProfile({
  cache: { isVolatile: false },
  subsystem: { capacityBytes: 32 * MiB },
  namespaces: [{ ...plainProfile().namespaces[0]!, bytes: 32 * MiB }],
  inside: {
    flash: { blocksPerPlane: 32, enduranceCycles: 5, wornFailPpm: 1_000_000 },
    ftl: { overProvisioningPermille: 300 },
  },
});

test('a card that is written to death ends read only, its spare gone', async () => {
  const card = new SimCard({ profile: shortLived, seed: 4 });
  const controller = await NvmeController.open(card.open(), { queueEntries: 64 });
  const namespace = await controller.namespace(1);
  const { health } = card.subsystem;
  const data = new Uint8Array(32 * 4096).fill(3);
  let failure = '';
  for (let i = 0; i < 20_000 && failure === ''; i++) {
    const writes = [0, 1, 2, 3].map((part) =>
      namespace.write(((i * 4 + part) * 32) % (namespace.blockCount - 32), data),
    );
    await Promise.all(writes).catch((error: unknown) => {
      failure = error instanceof Error ? error.message : String(error);
    });
  }
  assert.match(failure, /write of blocks.*[Ww]rite [Pp]rotected/);
  assert.is(health.sparePercent, 0);
  assert.ok(health.usedPercent > 50, `${health.usedPercent} % used`);
  assert.is(health.commonWarnings & 0b1001, 0b1001, 'spare and read only');
  assert.ok(health.mediaWrittenBytes > 0.9 * health.writtenBytes);
  const back = new Uint8Array(data.length);
  await namespace.read(0, back);
  assert.equal(back, data);
  card.checker.demandNone();
  await controller.close();
  await card.close();
});

test('a namespace is deleted while its writes wait for the buffer and its reads for the flash', async () => {
  // Some commands have begun by then, some wait for room, some have ended.
  for (const afterNs of [0, 2_000, 20_000, 60_000, 200_000, 500_000])
    await deleteUnderLoad(afterNs);
});

async function deleteUnderLoad(afterNs: number): Promise<void> {
  const profile = plainProfile({ subsystem: { hasNamespaceManagement: true } });
  const card = new SimCard({ profile, seed: 4 });
  const controller = await NvmeController.open(card.open(), { queueEntries: 256 });
  const { admin } = controller;
  const doomed = await controller.namespace(1);
  const block = new Uint8Array(4096);
  const commands = Array.from({ length: 60 }, (_, i) =>
    i % 4 === 3
      ? doomed.read(i, new Uint8Array(4096))
      : doomed.write(i * 7, block, { isFua: i % 5 === 0 }),
  );
  const untilNs = doomed.clock.nowNs() + afterNs;
  while (doomed.clock.nowNs() < untilNs) await doomed.clock.turn(untilNs);
  const ends = await Promise.allSettled([admin.deleteNamespace(1), ...commands]);
  assert.is(ends[0]!.status, 'fulfilled', `${afterNs} ns`);
  const nsid = await admin.createNamespace({ blockCount: 512 });
  await admin.attachNamespace(nsid, [0]);
  const fresh = await controller.namespace(nsid);
  await fresh.write(504, new Uint8Array(4096).fill(8));
  const back = new Uint8Array(4096);
  await fresh.read(504, back);
  assert.ok(back.every((byte) => byte === 8));
  card.checker.demandNone();
  await controller.close();
  await card.close();
}

test('sanitize erases what a full drive holds, and the card goes on', async () => {
  const card = new SimCard({ profile: plainProfile(), seed: 4 });
  card.fill();
  const controller = await NvmeController.open(card.open(), { queueEntries: 64 });
  const namespace = await controller.namespace(1);
  const block = new Uint8Array(4096).fill(9);
  await namespace.write(77, block);
  const readNs = async (): Promise<number> => {
    const startNs = card.world.nowNs;
    await namespace.read(500, new Uint8Array(4096));
    return card.world.nowNs - startNs;
  };
  assert.ok((await readNs()) > 50_000, 'a full drive reads flash');
  await controller.admin.sanitize('block erase');
  card.world.advance(60 * 1e9);
  const back = new Uint8Array(4096).fill(1);
  await namespace.read(77, back);
  assert.equal(back, new Uint8Array(4096));
  assert.ok((await readNs()) < 20_000, 'an erased drive has nothing to read');
  await namespace.write(77, block);
  await namespace.flush();
  await namespace.read(77, back);
  assert.equal(back, block);
  await controller.close();
  await card.close();
});

test.run();
