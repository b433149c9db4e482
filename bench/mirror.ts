import type { BlockDevice } from '../sdk/block/device.js';
import { writeBlocks } from '../sdk/block/promised.js';
import type { Mirror } from '../sdk/mirror/mirror.js';
import { type Bench, type Figures, machine } from './figures.js';
import {
  AsyncLoad,
  BenchCluster,
  type LoadShape,
  linkLatencyNs,
  regionBytes,
} from './mirror/cluster.js';
import { nullDevices } from './mirror/null-devices.js';

/** What mirroring costs, and how long members and writers are missed. */
export const bench: Bench = {
  claim: 'a mirrored write costs one link round trip, and a node that dies costs milliseconds',
  run,
};

const requests = 8_000;

async function run(): Promise<Figures> {
  const figures: Record<string, number> = {};
  await twoWay(figures);
  await threeWay(figures);
  await resyncBesideUsers(figures);
  await nullDevices(figures);
  for (const [key, value] of Object.entries(figures)) figures[key] = Number(value.toPrecision(4));
  return {
    conditions: {
      cards: 'sim:ultima-g2, one per node, one queue pair each, 64 MiB of data, carrying data',
      link: `${linkLatencyNs / 1000} us each way, 100 Gbit/s`,
      store: 'a commit or a read takes 1 ms',
      regions: `${regionBytes / 1024} KiB`,
      load: `random 4 KiB, ${requests} requests per figure`,
      time: 'virtual; cpuNs is processor time over null devices, median of rounds',
      partialResync: '16 MiB in order; single blocks of 4 KiB cost 64 KiB each',
      bitmap: 'writes of the map per 100 writes of data, random over clean regions',
      unmarked: 'an eighth of the writes are the first of their region',
      resync:
        'unthrottled, idle; beside an application of depth 8, 70 % reads: by a share of ' +
        'cards, 50 MB/s reserved, 1 GB/s at most, by a rate of 100 MB/s, unthrottled',
      failover: 'the writer is gone, all members are in reach: claim, adopt, commit, first write',
      ...machine(),
    },
    figures,
  };
}

async function loadOn(
  cluster: BenchCluster,
  device: BlockDevice,
  shape: LoadShape,
  isOver = (load: AsyncLoad): boolean => load.ended >= requests,
): Promise<{ load: AsyncLoad; iops: number }> {
  const { clock } = cluster.world;
  const startNs = clock.nowNs();
  const load = new AsyncLoad(device, shape);
  while (!isOver(load)) {
    if (device.poll() === 0) await clock.turn(clock.nowNs() + 100_000);
  }
  const iops = (load.ended * 1e9) / (clock.nowNs() - startNs);
  load.isOver = true;
  while (!load.isQuiet) {
    if (device.poll() === 0) await clock.turn(clock.nowNs() + 100_000);
  }
  if (load.failed > 0) throw new Error(`${load.failed} requests failed`);
  return { load, iops };
}

async function twoWay(figures: Record<string, number>): Promise<void> {
  const cluster = await BenchCluster.open(2);
  const { clock } = cluster.world;
  const writes = { depth: 8, readPercent: 0 };
  const alone = cluster.members[0]!.data;
  const single = await loadOn(cluster, alone, writes);
  // Everything is marked after the first attachment; after a detachment nothing is.
  const marked = await cluster.attachWhole(0, { cleanNs: 60e9 });
  const mirrored = await loadOn(cluster, marked.device, writes);
  await settled(cluster, marked, marked.detach());
  const options = { resyncBytesPerSecond: 100e9, retryNs: 100e6 };
  const mirror = await cluster.attachWhole(0, options);
  const metaBefore = cluster.metas[0]!.writes;
  const cold = await loadOn(cluster, mirror.device, writes);
  const maps = cluster.metas[0]!.writes - metaBefore;
  const onePathNs = single.load.writes.percentile(99) + 2 * linkLatencyNs;
  figures.writeLatencyRatio_2way_p99 = mirrored.load.writes.percentile(99) / onePathNs;
  figures.writeP99Us_one = single.load.writes.percentile(99) / 1000;
  figures.writeP99Us_2way = mirrored.load.writes.percentile(99) / 1000;
  figures.writeLatencyRatio_2way_p99_unmarked = cold.load.writes.percentile(99) / onePathNs;
  figures.bitmapOverheadPct = (100 * maps) / cold.load.ended;
  await memberLoss(cluster, mirror, figures);
  await resync(cluster, mirror, figures);
  // The writer is gone without a word; another node takes over.
  const startNs = clock.nowNs();
  const next = await cluster.attach(1);
  await writeBlocks(next.device, 0, new Uint8Array(4096));
  figures.failoverMs = (clock.nowNs() - startNs) / 1e6;
  await settled(cluster, next, next.detach());
  await cluster.close();
}

/** The far member's connection is reset under load; nothing is acknowledged until it is out. */
async function memberLoss(
  cluster: BenchCluster,
  mirror: Mirror,
  figures: Record<string, number>,
): Promise<void> {
  const load = new AsyncLoad(mirror.device, { depth: 8, readPercent: 0 });
  await cluster.until(mirror, () => load.ended > 1_000);
  cluster.links[1]!.close();
  await cluster.until(mirror, () => load.ended > 2_000);
  figures.memberLossPauseMs = load.longestGapNs / 1e6;
  load.isOver = true;
  await cluster.until(mirror, () => load.isQuiet && mirror.status.state === 'serving');
}

async function resync(
  cluster: BenchCluster,
  mirror: Mirror,
  figures: Record<string, number>,
): Promise<void> {
  const { clock } = cluster.world;
  const whole = (): boolean => mirror.status.state === 'serving';
  const degraded = (): boolean => mirror.status.state === 'degraded';
  // In order, so that whole regions are dirty.
  await cluster.calm(mirror);
  cluster.links[1]!.close();
  const piece = new Uint8Array(128 * 1024);
  const blocks = piece.length / mirror.device.blockBytes;
  await writeBlocks(mirror.device, 0, piece.subarray(0, 4096));
  await cluster.until(mirror, degraded);
  const before = mirror.copiedBytes;
  for (let i = 0; i < 128; i++) await writeBlocks(mirror.device, 4096 + i * blocks, piece);
  await cluster.until(mirror, () => mirror.copiedBytes > before);
  const startNs = clock.nowNs();
  await cluster.until(mirror, whole);
  const copied = mirror.copiedBytes - before;
  figures.partialResyncRatio = copied / (128 * piece.length + 4096);
  figures.resyncMiBPerS = copied / 1024 / 1024 / ((clock.nowNs() - startNs) / 1e9);
}

async function threeWay(figures: Record<string, number>): Promise<void> {
  const cluster = await BenchCluster.open(3);
  const reads = { depth: 600, readPercent: 100 };
  const one = await loadOn(cluster, cluster.members[0]!.data, { ...reads, depth: 200 });
  const ports = cluster.members.map((_, target) => cluster.port(0, target, false));
  const mirror = await cluster.attachWhole(0, { ports });
  const balanced = await loadOn(cluster, mirror.device, reads);
  figures.readIopsRatio_3way = balanced.iops / one.iops;
  figures.readIops_one = one.iops;
  figures.readIops_3way = balanced.iops;
  await settled(cluster, mirror, mirror.detach());
  await cluster.close();
}

/** An application works while all of a member is copied. */
async function duringResync(
  isGated: boolean,
  resyncBytesPerSecond: number,
): Promise<{ readonly read: number; readonly write: number; readonly mibPerS: number }> {
  const cluster = await BenchCluster.open(3, isGated);
  const { world } = cluster;
  const ports = cluster.members.map((_, target) => cluster.port(0, target, false));
  const mirror = await cluster.attachWhole(0, { ports, resyncBytesPerSecond });
  const mixed = { depth: 8, readPercent: 70 };
  const calm = await loadOn(cluster, mirror.device, mixed);
  const id = cluster.members[2]!.header.memberId;
  const app = new AsyncLoad(mirror.device, mixed);
  await cluster.until(mirror, () => app.ended > 100);
  app.isOver = true;
  await settled(cluster, mirror, mirror.removeMember(id));
  await settled(cluster, mirror, mirror.addMember(ports[2]!));
  const before = mirror.copiedBytes;
  await cluster.until(mirror, () => mirror.copiedBytes > before);
  const startNs = world.nowNs;
  const isWhole = (): boolean => mirror.status.state === 'serving';
  const busy = await loadOn(cluster, mirror.device, mixed, (load) => {
    return load.ended >= requests || isWhole();
  });
  if (busy.load.ended < 1_000) throw new Error(`${busy.load.ended} requests during the resync`);
  const copiedMiB = (mirror.copiedBytes - before) / 1024 / 1024;
  const ratioOf = (kind: 'reads' | 'writes'): number =>
    busy.load[kind].percentile(99) / calm.load[kind].percentile(99);
  const mibPerS = copiedMiB / ((world.nowNs - startNs) / 1e9);
  const result = { read: ratioOf('reads'), write: ratioOf('writes'), mibPerS };
  await settled(cluster, mirror, mirror.detach());
  await cluster.close();
  return result;
}

async function resyncBesideUsers(figures: Record<string, number>): Promise<void> {
  const byShare = await duringResync(true, 100e9);
  figures.appP99RatioDuringResync = byShare.read;
  figures.appWriteP99RatioDuringResync = byShare.write;
  figures.resyncMiBPerS_byShare = byShare.mibPerS;
  const byRate = await duringResync(false, 100e6);
  figures.appP99RatioDuringResync_byRate = byRate.read;
  figures.resyncMiBPerS_byRate = byRate.mibPerS;
  const free = await duringResync(false, 100e9);
  figures.appP99RatioDuringResync_unthrottled = free.read;
  figures.resyncMiBPerS_unthrottled = free.mibPerS;
}

async function settled(
  cluster: BenchCluster,
  mirror: Mirror,
  work: Promise<unknown>,
): Promise<void> {
  let isOver = false;
  void work.then(() => {
    isOver = true;
  });
  await cluster.until(mirror, () => isOver);
}
