import * as assert from 'uvu/assert';
import { UltimaError } from '../../../../sdk/errors.js';
import { NvmeController } from '../../../../sdk/nvme/controller.js';
import { type CardTier, UltimaQos } from '../../../../sdk/nvme/ultima-qos.js';
import { Status, statusKind } from '../../../../sdk/spec/nvme/status.js';
import { suite } from '../../../support/suite.js';
import { Load, type OpenedCard, openCard, runLoads } from './load.js';

const test = suite('quality of service over virtual functions');
const sriovControl = 0x168;
const numVfs = 0x170;
const enableAndMemory = 0x0009;
const msNs = 1_000_000;
const none = Number.POSITIVE_INFINITY;
const bestEffort: CardTier = {
  name: 'best-effort',
  minIops: 0,
  minBytesPerSecond: 0,
  maxIops: none,
  maxBytesPerSecond: none,
  weight: 1,
};
const slow: CardTier = { ...bestEffort, name: 'slow', maxIops: 1_000, burst: 1 };
const large: CardTier = { ...bestEffort, name: 'large', minIops: 50_000 };

interface Virtual extends OpenedCard {
  /** Controllers 1 and 2; namespace N is attached to controller N besides the primary. */
  readonly secondaries: readonly NvmeController[];
}

async function openVirtual(): Promise<Virtual> {
  const opened = await openCard(3);
  const { card, controller } = opened;
  card.function.config.write16(numVfs, 2);
  card.function.config.write16(sriovControl, enableAndMemory);
  const secondaries: NvmeController[] = [];
  for (const controllerId of [1, 2]) {
    const { admin } = controller;
    await admin.virtualization('secondary assign', { controllerId, count: 3 });
    await admin.virtualization('secondary assign', {
      controllerId,
      resource: 'interrupt',
      count: 2,
    });
    await admin.virtualization('secondary online', { controllerId });
    await admin.attachNamespace(controllerId, [controllerId]);
    secondaries.push(await NvmeController.open(card.open(controllerId)));
  }
  return { ...opened, secondaries };
}

test('a limit is the namespace’s, whichever functions its commands come from', async () => {
  const { card, controller, qos, secondaries } = await openVirtual();
  await qos.setTiers([bestEffort, slow, large]);
  await qos.assign(1, 1);
  const loads = [
    new Load(await controller.namespace(1), { depth: 8 }),
    new Load(await secondaries[0]!.namespace(1), { depth: 8 }),
    new Load(await secondaries[1]!.namespace(2), { depth: 8 }),
  ];
  const startNs = card.world.nowNs;
  runLoads(card, loads, startNs + 100 * msNs);
  const [own, virtual, free] = loads.map((load) => load.countIn(startNs, startNs + 100 * msNs));
  // A unit of burst, one per millisecond, one that ends above: for both together.
  assert.ok(own! + virtual! >= 99 && own! + virtual! <= 102, `${own} and ${virtual}`);
  assert.ok(virtual! >= 45, `${virtual}: first come, first served between them`);
  assert.ok(free! > 9_000, `${free} of the namespace without a tier`);
  card.checker.demandNone();
});

test('a reservation holds for a namespace of one function beside those of others', async () => {
  const { card, controller, qos, secondaries } = await openVirtual();
  await qos.setTiers([bestEffort, slow, large]);
  await qos.assign(1, 2);
  const loads = [
    new Load(await secondaries[0]!.namespace(1), { depth: 32 }),
    new Load(await secondaries[1]!.namespace(2), { depth: 128 }),
    new Load(await controller.namespace(3), { depth: 128 }),
  ];
  runLoads(card, loads, card.world.nowNs + 20 * msNs);
  const startNs = card.world.nowNs;
  runLoads(card, loads, startNs + 100 * msNs);
  const served = loads[0]!.countIn(startNs, startNs + 100 * msNs);
  // 50,000 per second; by depth it would have a ninth of 100,000.
  assert.ok(served >= 0.99 * 5_000, `${served} in 100 ms`);
});

test('a secondary controller programs nothing; its reset forgets what of it waits', async () => {
  const { card, controller, qos, secondaries } = await openVirtual();
  await qos.setTiers([bestEffort, slow, large]);
  await qos.assign(1, 1);
  const refused = await new UltimaQos(secondaries[0]!.admin).tierOf(1).catch((error) => error);
  assert.ok(refused instanceof UltimaError);
  assert.is(statusKind(Number(refused.facts.status)), Status.invalidField);
  const load = new Load(await secondaries[0]!.namespace(1), { depth: 32 });
  runLoads(card, [load], card.world.nowNs + 5 * msNs);
  assert.ok((await qos.counters())[0]!.waitingCommands > 20);
  load.isStopped = true;
  await secondaries[0]!.reset();
  assert.is((await qos.counters())[0]!.waitingCommands, 0);
  assert.is(await qos.tierOf(1), 1, 'the policy is the card’s');
  const own = new Load(await controller.namespace(1), { depth: 8 });
  const startNs = card.world.nowNs;
  runLoads(card, [load, own], startNs + 50 * msNs);
  const count = own.countIn(startNs, startNs + 50 * msNs);
  assert.ok(count >= 49 && count <= 52, `${count}`);
});

test.run();
