import type { BlockDevice } from '../sdk/block/device.js';
import { BlockOp } from '../sdk/block/request.js';
import { NvmeController } from '../sdk/nvme/controller.js';
import { open } from '../sdk/open.js';
import { TestPrng } from '../sdk/testing/prng.js';
import { GiB, KiB, MiB, TiB } from '../sdk/units.js';
import { Pool } from '../sdk/volume/pool.js';
import type { Volume } from '../sdk/volume/volume.js';
import {
  FlatDevice,
  NullDevice,
  noClock,
  realClock,
  ScatteredDevice,
  SparseDevice,
} from './block-devices.js';
import { collections } from './collections.js';
import { type Bench, type Figures, machine, median } from './figures.js';
import { protectionCosts } from './volume-checks.js';
import {
  blockBytes,
  depth,
  fill,
  Loop,
  nsPerIo,
  one,
  oneNow,
  poolOn,
  span,
} from './volume-load.js';

const warmUp = 200_000;
const rounds = 9;
const card = 'sim:ultima-g2?seed=1';

export const bench: Bench = {
  claim: 'what thin volumes and their snapshots cost, beside the device below them',
  run,
};

async function run(): Promise<Figures> {
  return {
    conditions: {
      blockBytes,
      depth,
      cpuNsPerIo: 'processor time, null device with a clock that costs nothing; device alone and',
      added: 'volume alternate in each round; median of the differences',
      readRatio: 'on a memory device whose 4 KiB blocks lie scattered, as on a drive',
      ratios: 'p50 or p99 of single requests at depth 1 on a memory device, real time',
      overheadPct: `IOPS lost at depth ${depth} on ${card}, virtual time`,
      checksums: 'off, except for what is called checked: CRC32C of each 4 KiB',
      encrypted: 'AES-256-XTS of node:crypto; both beside a plain volume on a memory device',
      snapshotCreateUs: 'with its commit, journal on a memory device; lower quartile',
      rounds,
      ...machine(),
    },
    figures: {
      ...(await addedCost()),
      ...(await protectionCosts()),
      ...(await cardOverhead()),
      ...(await firstWrites()),
      ...(await large()),
    },
  };
}

async function addedCost(): Promise<Record<string, number>> {
  const options = { bytes: 8 * GiB, blockBytes, clock: noClock };
  const raw = new NullDevice(options);
  const under = new NullDevice(options);
  const pool = await poolOn(under);
  const volume = await pool.createVolume({ name: 'v', bytes: GiB });
  await fill(volume, span);
  const loops = [BlockOp.read, BlockOp.write].map((op) => ({
    base: new Loop(raw, op),
    over: new Loop(volume, op),
  }));
  const added: number[][] = [[], []];
  const bases: number[][] = [[], []];
  for (const { base, over } of loops) for (const loop of [base, over]) loop.run(warmUp);
  for (let round = 0; round < rounds; round++) {
    for (const [i, { base, over }] of loops.entries()) {
      const baseNs = nsPerIo(base);
      bases[i]!.push(baseNs);
      added[i]!.push(nsPerIo(over) - baseNs);
    }
  }
  const gcs = await collections(() => {
    loops[0]!.over.run(500_000);
    loops[1]!.over.run(500_000);
  });
  const onNull = await readRatios(pool, volume, under);
  const mapRatio = await largerMapRatio(pool, volume);
  return {
    cpuNsPerIo_added_read: Math.round(median(added[0]!)),
    cpuNsPerIo_added_overwrite: Math.round(median(added[1]!)),
    cpuNsPerIo_null_read: Math.round(median(bases[0]!)),
    gcPerMillion: gcs,
    readRatioNull_after_100_snapshots: onNull.ratio,
    readRatioNull_after_100_snapshots_4MiB: onNull.nearRatio,
    readRatioNull_beside_as_large_a_map: mapRatio,
    ...(await readRatioOnMemory()),
  };
}

/**
 * The same where 4 KiB are moved, as the figures of others have it; and beside it what the device
 * alone takes for the places in which the two volumes lie, which must be no difference.
 */
async function readRatioOnMemory(): Promise<Record<string, number>> {
  const under = new ScatteredDevice({ bytes: 1536 * MiB, blockBytes, clock: noClock });
  const pool = await poolOn(under);
  const volume = await pool.createVolume({ name: 'v', bytes: GiB });
  await fill(volume, span);
  const { ratio, rawRatio } = await readRatios(pool, volume, under);
  return {
    readRatio_after_100_snapshots: ratio,
    readRatioOfDevice_same_places: rawRatio,
  };
}

interface ReadRatios {
  readonly ratio: number;
  /** Of reads in 4 MiB, whose part of either map fits in the nearest cache. */
  readonly nearRatio: number;
  readonly rawRatio: number;
}

/** Reads of a volume with 100 snapshots behind it beside reads of one without. */
async function readRatios(pool: Pool, volume: Volume, under: BlockDevice): Promise<ReadRatios> {
  const plain = await pool.createVolume({ name: 'plain', bytes: GiB });
  await fill(plain, span);
  const region = volume.memory.allocate(blockBytes);
  const chance = new TestPrng(5);
  for (let i = 0; i < 100; i++) {
    await pool.takeSnapshot([{ volume: 'v', name: `s${i}` }]);
    for (let j = 0; j < 100; j++) {
      const lba = chance.below(span / blockBytes);
      await one(volume, { op: BlockOp.write, lba, count: 1, region });
    }
  }
  const loops = [plain, volume].map((one) => new Loop(one, BlockOp.read));
  for (const one of [plain, volume]) loops.push(new Loop(under, BlockOp.read, placesOf(one)));
  const near = Uint32Array.from({ length: 1024 }, (_, i) => i);
  for (const one of [plain, volume]) loops.push(new Loop(one, BlockOp.read, near));
  for (const loop of loops) loop.run(warmUp);
  const times = Array.from({ length: rounds }, () => loops.map(nsPerIo));
  const ratioOf = (a: number, b: number): number =>
    rounded(median(times.map((round) => round[b]! / round[a]!)));
  return { ratio: ratioOf(0, 1), rawRatio: ratioOf(2, 3), nearRatio: ratioOf(4, 5) };
}

/**
 * Reads of a volume with 100 snapshots beside reads of one that never had any, whose map is as
 * large: an extent whose cells lie in several units has 64 bytes there instead of 8, so the other
 * one is read eight times as far. What is left of the ratio is not the size of the map.
 */
async function largerMapRatio(pool: Pool, volume: Volume): Promise<number> {
  const wide = await pool.createVolume({ name: 'wide', bytes: 8 * span });
  await fill(wide, 8 * span);
  const loops = [new Loop(wide, BlockOp.read, 8 * span), new Loop(volume, BlockOp.read)];
  for (const loop of loops) loop.run(warmUp);
  const times = Array.from({ length: rounds }, () => loops.map(nsPerIo));
  return rounded(median(times.map(([other, after]) => after! / other!)));
}

/** Where each 4 KiB of a volume lie on the one device of its pool. */
function placesOf({ core, object }: Volume): Uint32Array {
  return Uint32Array.from({ length: span / blockBytes }, (_, i) => {
    core.trees.locate(object.root, Math.floor(i / 16));
    return core.trees.unitOf(i % 16) * 16 + (i % 16);
  });
}

async function cardOverhead(): Promise<Record<string, number>> {
  const figures: Record<string, number> = {};
  for (const [name, op] of [
    ['read', BlockOp.read],
    ['overwrite', BlockOp.write],
  ] as const) {
    const raw = await cardIops(op, false);
    const over = await cardIops(op, true);
    figures[`iops_raw_${name}_qd32`] = Math.round(raw);
    figures[`overheadPct_${name}_qd32`] = rounded(100 * (1 - over / raw));
  }
  return figures;
}

async function cardIops(op: BlockOp, isVolume: boolean): Promise<number> {
  const controller = await NvmeController.open(await open(card));
  const namespace = await controller.namespace(1);
  let device: BlockDevice = namespace;
  const size = 4096 / namespace.blockBytes;
  if (isVolume) {
    const pool = await poolOn(namespace);
    device = await pool.createVolume({ name: 'v', bytes: GiB, blockBytes: 4096 });
  }
  const region = device.memory.allocate(64 * KiB);
  const count = region.length / device.blockBytes;
  for (let lba = 0; lba < span / device.blockBytes; lba += count) {
    await one(device, { op: BlockOp.write, lba, count, region });
  }
  await one(device, { op: BlockOp.flush, lba: 0, count: 0, region });
  if (size < 1) throw new Error('the card has larger blocks than a cell');
  const loop = new Loop(device, op);
  loop.run(2000);
  const startNs = device.clock.nowNs();
  const ios = 20_000;
  loop.run(ios);
  const iops = ios / ((device.clock.nowNs() - startNs) / 1e9);
  await controller.close();
  return iops;
}

function timesOf(count: number, work: (i: number) => void): number[] {
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    work(i);
    times.push((performance.now() - start) * 1000);
  }
  return times.sort((a, b) => a - b);
}

/** On a memory device that moves the data. */
async function firstWrites(): Promise<Record<string, number>> {
  const under = new FlatDevice({ bytes: 1280 * MiB, blockBytes, clock: realClock });
  const pool = await poolOn(under);
  const volume = await pool.createVolume({ name: 'v', bytes: GiB });
  await fill(volume, span);
  const region = volume.memory.allocate(blockBytes);
  const at = (lba: number): void => oneNow(volume, { op: BlockOp.write, lba, count: 1, region });
  const extents = span / (64 * KiB);
  const write = (i: number): void => at((i % extents) * 16 + 3);
  const offset = span / blockBytes;
  const fresh = (i: number): void => at(offset + i * 16);
  const p = (times: readonly number[], share: number): number =>
    times[Math.floor(times.length * share)]!;
  const samples: { over: number[]; thin: number[]; shared: number[] }[] = [];
  let reads = 0;
  for (let round = 0; round < rounds; round++) {
    const over = timesOf(4000, write);
    const thin = timesOf(4000, fresh);
    const discarded = { op: BlockOp.discard, lba: offset, count: 4000 * 16, region };
    await one(volume, discarded);
    await pool.takeSnapshot([{ volume: 'v', name: 's' }]);
    const before = under.reads;
    const shared = timesOf(4000, write);
    reads += under.reads - before;
    await pool.deleteSnapshot('v', 's');
    await pool.settleSpace();
    samples.push({ over, thin, shared });
  }
  const ratio = (kind: 'thin' | 'shared', share: number): number =>
    rounded(median(samples.map((one) => p(one[kind], share) / p(one.over, share))));
  return {
    overwriteUs_p50: rounded(median(samples.map(({ over }) => p(over, 0.5)))),
    thinFirstWriteRatio: ratio('thin', 0.99),
    thinFirstWriteRatio_p50: ratio('thin', 0.5),
    firstOverwriteAfterSnapshotRatio: ratio('shared', 0.5),
    firstOverwriteDeviceReads: reads,
  };
}

/** A volume whose every extent is mapped, without writing its data. */
async function mapped(pool: Pool, name: string, bytes: number): Promise<void> {
  const { object } = await pool.createVolume({ name, bytes });
  const { core } = pool;
  for (let extent = 0; extent < bytes / (64 * KiB); extent++) {
    const unit = core.units.allocate();
    if (unit === 0) throw new Error('the pool is too small');
    core.trees.assign(object, extent, 0xffff, unit);
  }
  await pool.checkpoint();
}

async function large(): Promise<Record<string, number>> {
  const figures: Record<string, number> = {};
  const small = await poolOn(new SparseDevice({ bytes: 4 * GiB, blockBytes, clock: realClock }));
  await mapped(small, 'v', GiB);
  figures.snapshotCreateUs_1GiB = await snapshotUs(small);
  const device = new SparseDevice({ bytes: 1.25 * TiB, blockBytes, clock: realClock });
  let pool = await poolOn(device);
  await mapped(pool, 'v', TiB);
  const { nodes } = pool.core;
  figures.metadataBytesPerMappedTiB = nodes.count * 4096 + nodes.end * 16;
  figures.hostMemoryBytesPerMappedTiB = hostBytes(pool);
  figures.snapshotCreateUs_1TiB_full = await snapshotUs(pool);
  figures.snapshotCreateRatio = rounded(
    figures.snapshotCreateUs_1TiB_full / figures.snapshotCreateUs_1GiB,
  );
  await pool.close();
  Object.assign(figures, await pagedReads(device));
  pool = await Pool.open([device]);
  figures.restoreUs_1TiB = await restoreUs(pool);
  figures.diffMsPer100kExtents = await diffMs(pool);
  figures.openMs_1TiB_1000volumes = await openMs();
  return figures;
}

/** Nodes with what is known of each, and four bytes and a bit for each unit of the pool. */
function hostBytes({ core: { nodes, units } }: Pool): number {
  return Math.round(
    nodes.chunks.length * 64 * 4096 + nodes.refs.length * 19 + units.unitCount * 4.2,
  );
}

/** Reads all over the terabyte with an eighth of its map in memory. */
async function pagedReads(device: BlockDevice): Promise<Record<string, number>> {
  const pool = await Pool.open([device], { mapCacheBytes: 16 * MiB });
  const volume = pool.volume('v');
  const chance = new TestPrng(7);
  const region = volume.memory.allocate(blockBytes);
  const reads = 20_000;
  for (let i = 0; i < reads; i++) {
    const lba = chance.below(TiB / blockBytes);
    await one(volume, { op: BlockOp.read, lba, count: 1, region });
  }
  const hostMemoryBytes = hostBytes(pool);
  const { fetched } = pool.core.pager;
  await pool.close();
  return {
    hostMemoryBytesPerMappedTiB_cache16MiB: hostMemoryBytes,
    mapReadsPerRead_cache16MiB: rounded(fetched / reads),
  };
}

/** The lower quartile: a few microseconds disappear in what else the machine does. */
function quartile(times: readonly number[]): number {
  return rounded(times.toSorted((a, b) => a - b)[Math.floor(times.length / 4)]!);
}

async function snapshotUs(pool: Pool): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < 5; round++) {
    for (let i = 0; i < 40; i++) {
      const start = performance.now();
      await pool.takeSnapshot([{ volume: 'v', name: `s${round}-${i}` }]);
      times.push((performance.now() - start) * 1000);
    }
    for (let i = 0; i < 40; i++) await pool.deleteSnapshot('v', `s${round}-${i}`);
  }
  return quartile(times);
}

async function restoreUs(pool: Pool): Promise<number> {
  const times: number[] = [];
  await pool.takeSnapshot([{ volume: 'v', name: 'to' }]);
  for (let i = 0; i < 40; i++) {
    const start = performance.now();
    await pool.restore('v', 'to', `k${i}`);
    times.push((performance.now() - start) * 1000);
  }
  return quartile(times);
}

/** 100,000 extents of the full terabyte change, spread over all of it. */
async function diffMs(pool: Pool): Promise<number> {
  const volume = pool.volume('v');
  await pool.takeSnapshot([{ volume: 'v', name: 'from' }]);
  const changed = 100_000;
  const stride = Math.floor(TiB / (64 * KiB) / changed);
  for (let i = 0; i < changed; i++) {
    const { core } = pool;
    core.trees.assign(volume.object, i * stride, 1, core.units.allocate());
  }
  await pool.takeSnapshot([{ volume: 'v', name: 'now' }]);
  const start = performance.now();
  let ranges = 0;
  const from = { volume: 'v', snapshot: 'from' };
  for await (const _ of pool.changes(from, { volume: 'v', snapshot: 'now' })) ranges++;
  const ms = performance.now() - start;
  if (ranges !== changed) throw new Error(`${ranges} ranges of ${changed}`);
  return rounded(ms);
}

async function openMs(): Promise<number> {
  const device = new SparseDevice({ bytes: 1.25 * TiB, blockBytes, clock: realClock });
  const pool = await poolOn(device);
  for (let i = 0; i < 1000; i++) {
    const { object } = await pool.createVolume({ name: `v${i}`, bytes: GiB });
    for (let extent = 0; extent < GiB / (64 * KiB); extent++) {
      pool.core.trees.assign(object, extent, 0xffff, pool.core.units.allocate());
    }
  }
  await pool.close();
  const start = performance.now();
  await Pool.open([device]);
  return Math.round(performance.now() - start);
}

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}
