import * as assert from 'uvu/assert';
import { NvmeController } from '../../../sdk/nvme/controller.js';
import type { Namespace } from '../../../sdk/nvme/namespace.js';
import { UltimaQos } from '../../../sdk/nvme/ultima-qos.js';
import { bestEffort } from '../../../sdk/qos/tiers.js';
import { KiB, MiB } from '../../../sdk/units.js';
import { SimCard } from '../../../sim/card.js';
import type { ProfileChanges } from '../../../sim/profiles/index.js';
import { World } from '../../../sim/world.js';
import { suite } from '../../support/suite.js';
import { plainProfile } from './inside-rig.js';
import { PlainDrive } from './plain-drive.js';

const test = suite('reserved commands inside the card');

const unitBytes = 4 * KiB;
const unit = (): Uint8Array => new Uint8Array(unitBytes).fill(7);
const qos = {
  capacityUnits: 90_000,
  depthUnits: 64,
  quietDepthUnits: 64,
  fetchBurst: 2,
  scheduleNs: 0,
  writeCostPermille: 1_000,
  copyWeightPermille: 1_000,
  copyUnits: 100_000,
  discardCostPermille: 1_000,
};

interface Opened {
  readonly card: SimCard;
  readonly controller: NvmeController;
  readonly reserved: Namespace;
  readonly other: Namespace;
  readonly drive: PlainDrive;
}

/** Two namespaces, the first of which has a reservation. */
async function open(changes: ProfileChanges): Promise<Opened> {
  const world = new World();
  const drives: PlainDrive[] = [];
  const base = plainProfile();
  const card = new SimCard({
    profile: plainProfile({
      qos,
      namespaces: [1, 2].map(() => ({ ...base.namespaces[0]!, bytes: 8 * MiB })),
      ...changes,
    }),
    world,
    makeDrive: (_, listener) => {
      const drive = new PlainDrive(world, listener, { units: 1 << 20, row: 4 });
      drives.push(drive);
      return drive;
    },
  });
  const controller = await NvmeController.open(card.open(), { queueEntries: 256 });
  const policies = new UltimaQos(controller.admin);
  await policies.setTiers([bestEffort, { ...bestEffort, name: 'own', minIops: 50_000 }]);
  await policies.assign(1, 1);
  const queuePair = await controller.createQueuePair({ entries: 256 });
  const reserved = await controller.namespace(1, { queuePair });
  const other = await controller.namespace(2);
  return { card, controller, reserved, other, drive: drives[0]! };
}

async function close({ card, controller }: Opened): Promise<void> {
  card.checker.demandNone();
  await controller.close();
  await card.close();
}

const nothing = (): void => {};

/** Latency of an action that begins when everything before it is under way. */
async function besideNs(opened: Opened, before: () => void, own: () => Promise<unknown>) {
  const { world } = opened.card;
  before();
  const startNs = world.nowNs;
  await own();
  return world.nowNs - startNs;
}

test('a reserved write finds room in a buffer that others keep full', async () => {
  const latencies: number[] = [];
  for (const reservedPermille of [500, 0]) {
    const opened = await open({ inside: { buffer: { reservedPermille } } });
    const others: Promise<unknown>[] = [];
    for (let i = 0; i < 60; i++) others.push(opened.other.write(i, unit()));
    // So long that the buffer is full.
    await opened.other.read(1000, new Uint8Array(unitBytes));
    latencies.push(await besideNs(opened, nothing, () => opened.reserved.write(3, unit())));
    // The others get all of theirs in the end.
    await Promise.all(others);
    await close(opened);
  }
  // Its own stages and the link, against the program that it would wait for.
  assert.ok(latencies[0]! < 50_000, `${latencies[0]} ns with a part of the buffer`);
  assert.ok(latencies[1]! > 100_000, `${latencies[1]} ns without`);
});

test('others fill the part of the buffer that is theirs, and no more', async () => {
  const opened = await open({ inside: { buffer: { reservedPermille: 500, drainPermille: 1000 } } });
  opened.drive.writeNs = 10_000_000;
  const others = Array.from({ length: 40 }, (_, i) => opened.other.write(i, unit()));
  await opened.other.read(1000, new Uint8Array(unitBytes));
  assert.is(opened.card.inside.facts()['buffer-units'], 8);
  for (let i = 0; i < 8; i++) await opened.reserved.write(i, unit());
  assert.is(opened.card.inside.facts()['buffer-units'], 16);
  await Promise.all(others);
  await close(opened);
});

test('a small read is looked up between the turns of a large one', async () => {
  const latencies: number[] = [];
  for (const lookupUnits of [4, 0]) {
    const opened = await open({
      inside: { cores: { lookupUnits }, stages: { lookup: { cycles: 10_000 } } },
    });
    const large = (): void => void opened.other.read(0, new Uint8Array(64 * unitBytes));
    const ns = await besideNs(opened, large, () =>
      opened.reserved.read(500, new Uint8Array(unitBytes)),
    );
    latencies.push(ns);
    await close(opened);
  }
  // Two turns of four units of 10 us may be before it, its own, and the medium's 50 us.
  assert.ok(latencies[0]! < 160_000, `${latencies[0]} ns in turns`);
  assert.ok(latencies[1]! > 64 * 10_000, `${latencies[1]} ns behind all of it`);
});

test('no core stands idle for a command that is still being prepared', async () => {
  const latencies: number[] = [];
  for (const lookupUnits of [4, 0]) {
    const opened = await open({
      inside: {
        cores: { lookupUnits, slotCycles: 2_000 },
        stages: { walk: { cycles: 50, isHardware: true } },
      },
    });
    // Its data pointer has 64 pieces, one in 2 us.
    const large = (): void => void opened.other.read(0, new Uint8Array(64 * unitBytes));
    const ns = await besideNs(opened, large, () =>
      opened.reserved.read(500, new Uint8Array(unitBytes)),
    );
    latencies.push(ns);
    await close(opened);
  }
  assert.ok(latencies[0]! < 64_000, `${latencies[0]} ns`);
  assert.ok(latencies[1]! > 128_000, `${latencies[1]} ns behind a core that waits`);
});

test.run();
