import * as assert from 'uvu/assert';
import { UltimaError } from '../../sdk/errors.js';
import { NvmeController } from '../../sdk/nvme/controller.js';
import type { SimCard } from '../../sim/card.js';
import { openSimulated } from '../../sim/open.js';
import { suite } from '../support/suite.js';

const test = suite('virtual functions');
const sriovControl = 0x168;
const numVfs = 0x170;
const enableAndMemory = 0x0009;

interface Pair {
  readonly card: SimCard;
  readonly primary: NvmeController;
}

async function enabledCard(): Promise<Pair> {
  const card = openSimulated('sim:simple?bytes=1MiB&controller.virtualFunctions=2');
  const primary = await NvmeController.open(card.open());
  card.function.config.write16(numVfs, 2);
  card.function.config.write16(sriovControl, enableAndMemory);
  return { card, primary };
}

async function bringOnline({ primary }: Pair, controllerId: number): Promise<void> {
  const { admin } = primary;
  await admin.virtualization('secondary assign', { controllerId, count: 3 });
  await admin.virtualization('secondary assign', { controllerId, resource: 'interrupt', count: 2 });
  await admin.virtualization('secondary online', { controllerId });
}

test('a secondary controller that is offline does not start', async () => {
  const { card, primary } = await enabledCard();
  let code = '';
  await NvmeController.open(card.open(1)).catch((error: unknown) => {
    code = error instanceof UltimaError ? error.code : String(error);
  });
  assert.is(code, 'CONTROLLER_FATAL');
  await primary.close();
});

test('a secondary controller that is online serves its own host', async () => {
  const pair = await enabledCard();
  await bringOnline(pair, 1);
  await pair.primary.admin.attachNamespace(1, [1]);
  const secondary = await NvmeController.open(pair.card.open(1));
  const own = await secondary.namespace(1);
  const shared = await pair.primary.namespace(1);
  const data = new Uint8Array(4096).fill(0x77);
  await own.write(16, data);
  const back = new Uint8Array(4096);
  await shared.read(16, back);
  assert.equal(back, data);
  pair.card.checker.demandNone();
  await secondary.close();
  await pair.primary.close();
});

test('media that serve one function keep the other one waiting', async () => {
  const card = openSimulated(
    'sim:simple?bytes=1MiB&controller.virtualFunctions=1&media.parallelUnits=1&media.readNs=50000',
  );
  const primary = await NvmeController.open(card.open());
  card.function.config.write16(numVfs, 1);
  card.function.config.write16(sriovControl, enableAndMemory);
  await bringOnline({ card, primary }, 1);
  await primary.admin.attachNamespace(1, [1]);
  const secondary = await NvmeController.open(card.open(1));
  const spaces = [await primary.namespace(1), await secondary.namespace(1)];
  const startNs = card.world.nowNs;
  await Promise.all(spaces.map((space) => space.read(0, new Uint8Array(512))));
  assert.ok(card.world.nowNs - startNs >= 100_000, 'one after the other');
  await secondary.close();
  await primary.close();
});

test('taking a secondary controller offline stops it, the primary goes on', async () => {
  const pair = await enabledCard();
  await bringOnline(pair, 2);
  const fn = pair.card.open(2);
  const secondary = await NvmeController.open(fn);
  assert.is(fn.bar(0).read32(0x1c) & 1, 1, 'CSTS.RDY');
  await pair.primary.admin.virtualization('secondary offline', { controllerId: 2 });
  assert.is(fn.bar(0).read32(0x1c) & 1, 0);
  await (await pair.primary.namespace(1)).read(0, new Uint8Array(512));
  await secondary.close();
  await pair.primary.close();
});

test('a reset of a virtual function leaves the others alone', async () => {
  const pair = await enabledCard();
  await bringOnline(pair, 1);
  const fn = pair.card.open(1);
  const secondary = await NvmeController.open(fn);
  await fn.reset('function');
  assert.is(fn.bar(0).read32(0x1c) & 1, 0);
  await (await pair.primary.namespace(1)).read(0, new Uint8Array(512));
  await secondary.close();
  const again = await NvmeController.open(pair.card.open(1));
  await again.close();
  await pair.primary.close();
});

test.run();
