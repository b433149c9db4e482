import { NvmeController } from '../sdk/nvme/controller.js';
import { KiB, MiB } from '../sdk/units.js';
import { SimCard } from '../sim/card.js';
import { defineProfile, findProfile, type ProfileChanges } from '../sim/profiles/index.js';
import { software } from '../sim/profiles/inside.js';
import { cpuSecondsOf } from './figures.js';
import { IoLoad, namespacesOf } from './io-load.js';

const depth = 32;
const warmUp = 300_000;
const requests = 600_000;
const growthRequests = 1_000_000;
const base = findProfile('mqsim-default');

/** The drives of the anchors, with a firmware that costs something. */
const stages = {
  fetch: software(200),
  decode: software(200),
  walk: software(50),
  lookup: software(200),
  cache: software(100),
  issue: software(150),
  complete: software(200),
  interrupt: software(100),
};

/** Without it each write would also be kept as unflushed data, up to the size of the cache. */
const cache = { isVolatile: false, bytes: 0 };

function drive(flash: object, ftl: object, bytes: number): ProfileChanges {
  return {
    cache,
    subsystem: { capacityBytes: bytes },
    namespaces: [{ ...base.namespaces[0]!, bytes }],
    inside: { stages, flash, ftl, buffer: { writeBytes: 16 * MiB } },
  };
}

const floors = { gcFreeBlocks: 3, gcIdleFreeBlocks: 4 };
/** 8 channels x 2 chips x 2 planes x 64 blocks x 256 pages of 4 KiB. */
const small = drive(
  { packagesPerChannel: 2, diesPerPackage: 1, blocksPerPlane: 64, pageBytes: 4 * KiB },
  { ...floors, overProvisioningPermille: 200 },
  1536 * MiB,
);
/** 4 channels, 4 GiB, over-provisioning 28 % of the physical capacity. */
const collecting = drive(
  {
    channels: 4,
    packagesPerChannel: 2,
    diesPerPackage: 1,
    blocksPerPlane: 256,
    pageBytes: 4 * KiB,
  },
  { ...floors, overProvisioningPermille: 280 },
  2816 * MiB,
);
/** 8 channels x 4 chips x 2 dies x 2 planes x 2048 blocks x 256 pages of 8 KiB. */
const large: ProfileChanges = { cache, inside: { stages, buffer: { writeBytes: 16 * MiB } } };
const largePages = 8 * 4 * 2 * 2 * 2048 * 256;

interface Opened {
  readonly card: SimCard;
  readonly controller: NvmeController;
  load(readPercent: number): IoLoad;
}

async function openFull(changes: ProfileChanges, carriesData: boolean): Promise<Opened> {
  const card = new SimCard({ profile: defineProfile(base, changes), seed: 1, carriesData });
  card.fill();
  const controller = await NvmeController.open(card.open());
  const namespaces = await namespacesOf(controller, 1, 1024);
  const load = (readPercent: number): IoLoad =>
    new IoLoad(namespaces, { bytes: 4 * KiB, depth, readPercent });
  return { card, controller, load };
}

async function close({ card, controller }: Opened): Promise<void> {
  card.checker.demandNone();
  await controller.close();
  await card.close();
}

async function rateOf(load: IoLoad): Promise<number> {
  load.run(warmUp);
  const [seconds] = await cpuSecondsOf(async () => load.run(requests));
  return requests / seconds;
}

/** The figures of the inside; every number of requests is drained to the last one. */
export async function insideFigures(): Promise<{
  readonly conditions: Record<string, string | number>;
  readonly figures: Record<string, number>;
}> {
  const reads = await openFull(small, true);
  const readRate = await rateOf(reads.load(100));
  await close(reads);

  const big = await largeFigures();

  const writes = await openFull(collecting, false);
  // One turn of overwriting, so that garbage collection is in its steady state.
  const writing = writes.load(0);
  writing.run((2816 * MiB) / (4 * KiB));
  const writeRate = await rateOf(writing);
  await close(writes);

  const mixed = await openFull(collecting, false);
  const mixing = mixed.load(70);
  mixing.run((2816 * MiB) / (4 * KiB));
  const mixedRate = await rateOf(mixing);
  const before = process.memoryUsage().rss;
  mixing.run(growthRequests);
  const growth = Math.max(0, process.memoryUsage().rss - before) / growthRequests;
  await close(mixed);

  return {
    conditions: {
      insideModel: 'link, firmware cores, write buffer, translation layer, flash, NVMe and driver',
      dataCarrying: 'on for rr_qd32_2GiB, off for all others',
      writeBuffer: '16 MiB, protected, drained at once',
      insideDepth: depth,
      insideRequests: requests,
      insideWarmUp: warmUp,
      gcDrive: '4 GiB, 4 channels, over-provisioning 28 % of physical, after one turn of writes',
      bytesPerPage: 'resident memory by 8 KiB flash pages, after writes in every part of the drive',
    },
    figures: {
      requestsPerCpuSecond_rr_qd32_2GiB: Math.round(readRate),
      requestsPerCpuSecond_rr_qd32_550GB: big.rate,
      requestsPerCpuSecond_rw_gc_op28: Math.round(writeRate),
      requestsPerCpuSecond_mixed7030_gc: Math.round(mixedRate),
      bytesPerPage_550GB: big.bytesPerPage,
      setupMs_550GB: big.setupMs,
      growthBytesPerRequest: Number(growth.toFixed(3)),
    },
  };
}

async function largeFigures(): Promise<{ rate: number; bytesPerPage: number; setupMs: number }> {
  const before = process.memoryUsage().rss;
  const [setupSeconds, opened] = await cpuSecondsOf(() => openFull(large, false));
  const rate = await rateOf(opened.load(100));
  // Touches every part of the map.
  opened.load(0).run(50_000);
  const bytes = process.memoryUsage().rss - before;
  await close(opened);
  return {
    rate: Math.round(rate),
    bytesPerPage: Number((bytes / largePages).toFixed(2)),
    setupMs: Math.round(setupSeconds * 1000),
  };
}
