import * as assert from 'uvu/assert';
import { MemoryDevice } from '../../../sdk/block/memory.js';
import { readBlocks, writeBlocks } from '../../../sdk/block/promised.js';
import { BlockStatus } from '../../../sdk/block/request.js';
import { checkFaultPlan, type FaultSpec } from '../../../sdk/faults/plan.js';
import { NvmeController } from '../../../sdk/nvme/controller.js';
import type { Namespace } from '../../../sdk/nvme/namespace.js';
import { Pool } from '../../../sdk/volume/pool.js';
import { openSimulated } from '../../../sim/open.js';
import { suite } from '../../support/suite.js';
import { codeOf, device, MiB } from './rig.js';

const test = suite('pools on devices with protection information');
const random = (bytes: Uint8Array): unknown => bytes.fill(7);
/** 4 KiB with 8 bytes of metadata, which hold the protection information. */
const formatIndex = 3;

interface Card {
  readonly namespace: Namespace;
  close(): Promise<void>;
}

async function cardOf(protectionType: number, faults: readonly FaultSpec[] = []): Promise<Card> {
  const plan = checkFaultPlan({ faults });
  const card = openSimulated('sim:simple?bytes=16MiB', { faults: plan });
  const controller = await NvmeController.open(card.open());
  await controller.admin.format(1, { formatIndex, protectionType });
  const namespace = await controller.namespace(1);
  return { namespace, close: () => controller.close() };
}

interface Made {
  readonly pool: Pool;
  /** Block of the namespace where block 3 of the volume lies. */
  readonly block: number;
}

async function poolOn(namespace: Namespace): Promise<Made> {
  const pool = await Pool.create([namespace], { random });
  const volume = await pool.createVolume({ name: 'a', bytes: 8 * MiB, hasChecks: true });
  await writeBlocks(volume, 0, new Uint8Array(16 * 4096).fill(9));
  await pool.checkpoint();
  pool.core.trees.locate(volume.object.root, 0);
  return { pool, block: pool.core.trees.unitOf(3) * 16 + 3 };
}

for (const type of [1, 2, 3]) {
  test(`type ${type}: the device compares what the pool then needs no CRC for`, async () => {
    const dry = await cardOf(type);
    const { block } = await poolOn(dry.namespace);
    await dry.close();
    const when = { command: { opcode: 'read', lba: block, first: 1 } };
    const fault = { kind: 'silent corruption', bit: 4711, when } as const;
    const { namespace, close } = await cardOf(type, [fault]);
    assert.is(namespace.limits.hasProtection, true);
    const { pool } = await poolOn(namespace);
    const { object } = pool.volume('a');
    assert.is(object.isProtected, true);
    assert.is(object.hasChecks, false);
    // The fault strikes after the first command that reads the block on its own.
    const buffer = new Uint8Array(4096);
    await readBlocks(pool.volume('a'), 3, buffer).catch(() => {});
    assert.is(await codeOf(readBlocks(pool.volume('a'), 3, buffer)), 'COMMAND_FAILED');
    const { bad, readBytes } = await pool.scrub({ volume: 'a' });
    assert.is(readBytes, 16 * 4096);
    const status = BlockStatus.integrityError;
    assert.equal(bad, [{ byteOffset: 3 * 4096, byteLength: 4096, status }]);
    // Written again it is good again, in the same place.
    await writeBlocks(pool.volume('a'), 3, buffer.fill(4));
    assert.equal((await pool.scrub({ volume: 'a' })).bad, []);
    await pool.close();
    const again = await Pool.open([namespace]);
    assert.is(again.volume('a').object.isProtected, true);
    assert.equal(await again.check(), []);
    await again.close();
    await close();
  });
}

test('without protection information the pool keeps CRCs itself', async () => {
  const { namespace, close } = await cardOf(0);
  const { pool } = await poolOn(namespace);
  assert.is(pool.volume('a').object.isProtected, false);
  assert.is(pool.volume('a').object.hasChecks, true);
  await pool.close();
  await close();
});

test('a pool that relies on its devices takes none that does not compare', async () => {
  const { namespace, close } = await cardOf(1);
  const { pool } = await poolOn(namespace);
  const plain = device(8 * MiB, 4096);
  assert.is(await codeOf(pool.addDevice(plain, { random })), 'DEVICE_UNSUPPORTED');
  await pool.deleteVolume('a');
  await pool.addDevice(plain, { random });
  const volume = await pool.createVolume({ name: 'b', bytes: MiB, hasChecks: true });
  assert.is(volume.object.hasChecks, true, 'not all devices compare now');
  await pool.close();
  await close();
});

test('devices that no longer compare what they read are named when the pool is opened', async () => {
  const { namespace, close } = await cardOf(1);
  const { pool } = await poolOn(namespace);
  await pool.close();
  const { clock, blockCount } = namespace;
  const copy = new MemoryDevice({ blockBytes: 4096, blockCount, clock });
  const part = new Uint8Array(256 * 4096);
  for (let lba = 0; lba < blockCount; lba += 256) {
    const bytes = part.subarray(0, Math.min(256, blockCount - lba) * 4096);
    await readBlocks(namespace, lba, bytes);
    await writeBlocks(copy, lba, bytes);
  }
  await close();
  const opened = await Pool.open([copy]);
  assert.is(opened.findings.filter(({ what }) => what === 'protection').length, 1);
  assert.equal(opened.findings[0]!.costs, ['a']);
  await opened.close();
});

test.run();
