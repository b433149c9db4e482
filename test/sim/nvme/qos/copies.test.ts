import * as assert from 'uvu/assert';
import { IoLoad } from '../../../../bench/io-load.js';
import { BlockOp, BlockRequest } from '../../../../sdk/block/request.js';
import { NvmeController } from '../../../../sdk/nvme/controller.js';
import type { Namespace } from '../../../../sdk/nvme/namespace.js';
import { UltimaQos } from '../../../../sdk/nvme/ultima-qos.js';
import { bestEffort } from '../../../../sdk/qos/tiers.js';
import { KiB, MiB } from '../../../../sdk/units.js';
import { SimCard } from '../../../../sim/card.js';
import { type CopyGate, CopyKind, openGate } from '../../../../sim/ftl/copy-gate.js';
import { FlashDrive } from '../../../../sim/ftl/flash-drive.js';
import type { FtlProfile } from '../../../../sim/ftl/ftl-profile.js';
import { CardQos } from '../../../../sim/nvme/qos/card-qos.js';
import { Prng } from '../../../../sim/prng.js';
import { defineProfile, findProfile } from '../../../../sim/profiles/index.js';
import { World } from '../../../../sim/world.js';
import { suite } from '../../../support/suite.js';
import { smallFlash, smallFtl } from '../../ftl/rig.js';
import { openCard } from './load.js';

const test = suite('copies of the drives behind a card');

const bytes = 80 * MiB;
const whole = findProfile('ultima-g2');
const writeCost = 3;
const room = { depthUnits: 16, quietDepthUnits: 16 };

interface Opened {
  readonly card: SimCard;
  readonly namespaces: readonly Namespace[];
  readonly qos: UltimaQos;
}

interface Budget {
  readonly copyWeightPermille: number;
  readonly copyUnits: number;
}

/** A card of four dies, full, with two namespaces. */
async function open(budget: Partial<Budget> = {}, scan: Partial<FtlProfile> = {}): Promise<Opened> {
  const profile = defineProfile(whole, {
    inside: {
      drives: 1,
      buffer: { writeBytes: 2 * MiB },
      flash: { channels: 2, diesPerPackage: 2, blocksPerPlane: 60, pagesPerBlock: 16 },
      ftl: { overProvisioningPermille: 280, streams: 1, spareBlocks: 2, ...scan },
    },
    qos: { ...whole.qos!, ...room, writeCostPermille: 1000 * writeCost, ...budget },
    subsystem: { capacityBytes: bytes, allocationBytes: 64 * KiB },
    namespaces: [1, 2].map(() => ({ ...whole.namespaces[0]!, bytes: bytes / 2 })),
  });
  const card = new SimCard({ profile, seed: 3, carriesData: false });
  card.fill();
  const controller = await NvmeController.open(card.open(), { queueEntries: 1024 });
  const namespaces = [await controller.namespace(1), await controller.namespace(2)];
  return { card, namespaces, qos: new UltimaQos(controller.admin) };
}

async function reserve(qos: UltimaQos, minIops: number): Promise<void> {
  await qos.setTiers([bestEffort, { ...bestEffort, name: 'own', minIops }]);
  await qos.assign(1, 1);
}

/** Random writes to the second namespace. @returns how many ended per second */
function write({ namespaces }: Opened, count: number, depth = 64): number {
  const how = { bytes: 4 * KiB, depth, readPercent: 0 };
  return new IoLoad(namespaces.slice(1), how).run(count).iops;
}

/** Random writes to the second namespace that are in flight while the card is asked. */
function keepWriting({ namespaces }: Opened): { readonly goOn: () => void } {
  const namespace = namespaces[1]!;
  const prng = new Prng(9, 'writes');
  const data = namespace.memory.allocate(4 * KiB);
  const free: BlockRequest[] = Array.from({ length: 256 }, () => {
    const request = new BlockRequest((one) => void free.push(one));
    request.op = BlockOp.write;
    request.blockCount = 1;
    request.setData(data, 0, 4 * KiB);
    return request;
  });
  return {
    goOn: () => {
      for (let i = 0; i < 500; i++) {
        namespace.poll();
        for (let one = free.pop(); one !== undefined; one = free.pop()) {
          one.lba = prng.below(namespace.blockCount);
          namespace.submit(one);
        }
        namespace.clock.idle(namespace.clock.nowNs() + 10_000);
      }
    },
  };
}

function drive({ card }: Opened) {
  return card.inside.drives[0]!.statistics;
}

test('without a policy nothing is asked and nothing counted', async () => {
  const opened = await open();
  write(opened, 30_000);
  assert.ok(drive(opened).gcUnits > 1_000);
  const copies = await opened.qos.copies();
  assert.equal(
    copies.map(({ kind, servedUnits, throttledPages }) => [kind, servedUnits, throttledPages]),
    [
      ['collection', 0, 0],
      ['upkeep', 0, 0],
    ],
  );
});

test('garbage collection pays a read and a write for each unit, and is told per interval', async () => {
  const opened = await open();
  await reserve(opened.qos, 1_000);
  const before = drive(opened).gcUnits;
  write(opened, 30_000);
  const copied = drive(opened).gcUnits - before;
  const [collection] = await opened.qos.copies();
  const { servedUnits, throttledPages, intervals } = collection!;
  const due = copied * (1 + writeCost);
  // What was overwritten while it waited was paid for, and is not copied.
  assert.ok(servedUnits >= due && servedUnits < 1.05 * due, `${servedUnits} paid, ${due} due`);
  assert.ok(throttledPages > 0, 'pages waited');
  assert.ok(intervals.length > 0);
  const told = intervals.reduce((sum, one) => sum + one.servedUnits, 0);
  assert.ok(told <= servedUnits && told > 0);
  // Namespaces are told as before.
  const counters = await opened.qos.counters();
  assert.equal(
    counters.map(({ nsid }) => nsid),
    [1],
  );
});

test('with next to no budget the drive still never keeps a write waiting for ever', async () => {
  const opened = await open({ copyWeightPermille: 1, copyUnits: 1 });
  await reserve(opened.qos, 1_000);
  const poor = write(opened, 40_000);
  const rich = await open({ copyWeightPermille: 1_000_000, copyUnits: 10_000_000 });
  await reserve(rich.qos, 1_000);
  const fast = write(rich, 40_000);
  assert.ok(poor > 0.5 * fast, `${poor} writes per second, ${fast} with all it wants`);
  const waited = async ({ qos }: Opened): Promise<number> =>
    (await qos.copies())[0]!.throttledPages;
  assert.ok((await waited(opened)) > 0);
});

test('the budget grows with need: nothing at rest, more as free blocks run out', async () => {
  const opened = await open({ copyUnits: 160_000 });
  await reserve(opened.qos, 1_000);
  assert.is((await opened.qos.copies())[0]!.keptUnitsPerSecond, 0);
  write(opened, 10_000);
  const writes = keepWriting(opened);
  let most = 0;
  for (let i = 0; i < 40; i++) {
    writes.goOn();
    const { keptUnitsPerSecond } = (await opened.qos.copies())[0]!;
    // Sixteenths of what is there at most.
    assert.is(keptUnitsPerSecond % 10_000, 0);
    most = Math.max(most, keptUnitsPerSecond);
  }
  assert.ok(most > 0 && most <= 160_000, `${most}`);
});

test('a weight decides how much of the media copies get beside reads of others', async () => {
  const waits: number[] = [];
  for (const copyWeightPermille of [10, 1_000_000]) {
    const opened = await open({ copyWeightPermille, copyUnits: 1 });
    await reserve(opened.qos, 1_000);
    write(opened, 20_000);
    const mixed = { bytes: 4 * KiB, depth: 64, readPercent: 80 };
    new IoLoad(opened.namespaces.slice(1), mixed).run(40_000);
    const [collection] = await opened.qos.copies();
    const pages = collection!.servedUnits / (1 + writeCost);
    waits.push(collection!.throttledPages / pages);
  }
  assert.ok(waits[0] !== waits[1], `${waits}`);
});

test('what a patrol reads is upkeep, paid for as reads and told', async () => {
  const opened = await open({}, { scanEveryNs: 1_000_000, scanPages: 3 });
  await reserve(opened.qos, 1_000);
  const reads = { bytes: 4 * KiB, depth: 64, readPercent: 100 };
  new IoLoad(opened.namespaces.slice(1), reads).run(60_000);
  const { scannedPages } = drive(opened);
  const [collection, upkeep] = await opened.qos.copies();
  const unitsPerPage = 4;
  assert.ok(scannedPages > 100, `${scannedPages} pages`);
  assert.is(upkeep!.servedUnits, scannedPages * unitsPerPage);
  assert.is(collection!.servedUnits, 0);
  assert.ok(upkeep!.throttledPages > 0, 'it waits for others');
  opened.card.checker.demandNone();
});

test('a read pays for the page of the map that it needs, and upkeep for those of writes', async () => {
  const opened = await open({}, { mapCacheBytes: 8 * 4 * KiB });
  await reserve(opened.qos, 1_000);
  const [first] = opened.namespaces;
  const served = async (): Promise<readonly number[]> => {
    const [own] = await opened.qos.counters();
    const [, upkeep] = await opened.qos.copies();
    return [own!.servedUnits, upkeep!.servedUnits];
  };
  const load = (readPercent: number): void => {
    new IoLoad([first!], { bytes: 4 * KiB, depth: 16, readPercent }).run(4_000);
  };
  load(100);
  const { mapReads } = drive(opened);
  assert.ok(mapReads > 400, `${mapReads} pages of the map`);
  // All of it has been written before, so each page of the map lies on flash.
  assert.equal(await served(), [4_000 + mapReads, 0]);
  load(0);
  const { mapReads: allReads, mapWriteUnits } = drive(opened);
  const [own, upkeep] = await served();
  assert.is(own, 4_000 + mapReads + 4_000 * writeCost);
  const written = mapWriteUnits * writeCost;
  assert.ok(mapWriteUnits > 100, `${mapWriteUnits} units of the map were written`);
  assert.ok(upkeep! > written && upkeep! <= written + allReads - mapReads, `${upkeep}`);
  opened.card.checker.demandNone();
});

/** Sixteen pools that ask when a test says so. */
class AskingDrive extends FlashDrive {
  gate: CopyGate = openGate;
  /** Pools in the order in which they were let go. */
  readonly granted: number[] = [];

  override setCopyGate(gate: CopyGate): void {
    this.gate = gate;
  }

  override copyGranted(pool: number): void {
    this.granted.push(pool);
  }
}

test('what an urgent copy takes its class has to pay: others of as much weight go first', () => {
  const world = new World({ seed: 1 });
  const flash = { ...smallFlash, planesPerDie: 4 };
  const listener = { driveDone: () => {}, driveChanged: () => {}, mapRead: () => false };
  const drive = new AskingDrive({ flash, ftl: smallFtl, world, listener, name: 'asking' });
  const room = { depthUnits: 1, quietDepthUnits: 1, copyWeightPermille: 1000, copyUnits: 1 };
  const profile = { ...whole.qos!, ...room };
  const counts = { namespaceLimit: 1, queueLimit: 1, controllerCount: 1, slots: 2 };
  new CardQos({ world, profile, ...counts, drives: [drive] });
  const { gate, granted } = drive;
  const { collection, upkeep } = CopyKind;
  assert.is(gate.asks(0, upkeep, 1, 0, false), true);
  assert.is(gate.asks(1, collection, 4, 1, true), true);
  for (let pool = 2; pool < 8; pool++) {
    assert.is(gate.asks(pool, collection, 1, 0, false), false);
    assert.is(gate.asks(8 + pool, upkeep, 1, 0, false), false);
  }
  gate.ended(0);
  gate.ended(1);
  for (let count = 1; count <= 12; count++) {
    world.advance(1);
    assert.is(granted.length, count);
    gate.ended(granted[count - 1]!);
  }
  // Upkeep had one unit, collection four: three more make them even, then they take turns.
  const kinds = granted.map((pool) => (pool < 8 ? collection : upkeep));
  assert.equal(kinds.slice(0, 3), [upkeep, upkeep, upkeep]);
  for (let i = 3; i < 9; i += 2) assert.is.not(kinds[i], kinds[i + 1]);
});

test('a card whose drives never copy has no such classes', async () => {
  const { qos } = await openCard(1);
  assert.equal(await qos.copies(), []);
});

test.run();
