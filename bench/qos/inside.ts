import { BlockOp } from '../../sdk/block/request.js';
import { NvmeController } from '../../sdk/nvme/controller.js';
import type { Namespace } from '../../sdk/nvme/namespace.js';
import type { QueuePair } from '../../sdk/nvme/queue-pair.js';
import { UltimaQos } from '../../sdk/nvme/ultima-qos.js';
import type { Histogram } from '../../sdk/observe/histogram.js';
import { bestEffort, shareOf, type Tier } from '../../sdk/qos/tiers.js';
import { ArbitrationFeature, Feature } from '../../sdk/spec/nvme/features.js';
import { KiB, MiB } from '../../sdk/units.js';
import { SimCard } from '../../sim/card.js';
import { restoreCard, saveCard } from '../../sim/checkpoint/checkpoint.js';
import { defineProfile } from '../../sim/profiles/index.js';
import { IoLoad } from '../io-load.js';
import { smallBlocks } from '../ultima-g2-small.js';
import type { Policy } from './model.js';
import { ByPolicy, type Pace, runTenants, Straight, Tenant, type Way } from './tenants.js';

const volumeCount = 64;
const small = smallBlocks();
const volumeBytes = Math.floor(small.subsystem.capacityBytes / volumeCount / MiB) * MiB;

/** The card with all its drives, dies and their times, and its own numbers for the scheduler. */
const profile = defineProfile(small, {
  namespaces: Array.from({ length: volumeCount }, () => ({
    ...small.namespaces[0]!,
    bytes: volumeBytes,
  })),
});
const qos = profile.qos!;
export const { capacityUnits } = qos;

export interface ReservedTenant {
  readonly name: string;
  /** Units per second that it reserves. */
  readonly units: number;
  readonly pace: Pace;
  readonly op: BlockOp;
  /** It asks for more than it reserves: its latency is its own doing. */
  readonly isGreedy?: boolean;
}

/** The reserved tenants: what they reserve, and how they come. */
export const reserved: readonly ReservedTenant[] = [
  {
    name: 'poisson',
    units: 20_000,
    pace: { kind: 'poisson', rate: 18_000 },
    op: BlockOp.read,
  },
  {
    name: 'closed',
    units: 5_000,
    pace: { kind: 'closed', depth: 32 },
    op: BlockOp.read,
    isGreedy: true,
  },
  {
    name: 'steady',
    units: 10_000,
    pace: { kind: 'steady', rate: 9_000 },
    op: BlockOp.read,
  },
  {
    name: 'bursts',
    units: 10_000,
    pace: { kind: 'bursts', rate: 9_000, burst: 32 },
    op: BlockOp.read,
  },
  {
    name: 'single',
    units: 20_000,
    pace: { kind: 'closed', depth: 1 },
    op: BlockOp.read,
  },
  {
    name: 'writes',
    units: 20_000,
    pace: { kind: 'poisson', rate: 18_000 },
    op: BlockOp.write,
  },
];

/** What the neighbours do. */
const neighbourKinds = {
  read4K: [{ op: BlockOp.read, bytes: 4 * KiB, depth: 32 }],
  write4K: [{ op: BlockOp.write, bytes: 4 * KiB, depth: 32 }],
  discard: [{ op: BlockOp.discard, bytes: 256 * KiB, depth: 8 }],
  read256K: [{ op: BlockOp.read, bytes: 256 * KiB, depth: 8 }],
  write256K: [{ op: BlockOp.write, bytes: 256 * KiB, depth: 8 }],
  mixed: [
    { op: BlockOp.read, bytes: 4 * KiB, depth: 32 },
    { op: BlockOp.write, bytes: 4 * KiB, depth: 32 },
    { op: BlockOp.read, bytes: 256 * KiB, depth: 8 },
    { op: BlockOp.discard, bytes: 256 * KiB, depth: 8 },
  ],
} as const;

export type Neighbours = keyof typeof neighbourKinds;

/** Who says who is next: the card, nobody, NVMe's arbitration in the card, or a policy here. */
export type Ruler =
  | { readonly kind: 'card' }
  | { readonly kind: 'none' }
  | { readonly kind: 'wrr' }
  | { readonly kind: 'host'; readonly policy: Policy };

export interface InsideResult {
  /** Worst 100 ms of each reserved tenant: percent of its demand, or of its reservation. */
  readonly worstMetPct: Readonly<Record<string, number>>;
  readonly p99Us: Readonly<Record<string, number>>;
  /** Units per second of everybody, and of those that reserve nothing. */
  readonly units: number;
  readonly neighbourUnits: number;
  /** Units of each tenant per 10 ms. */
  readonly perSlot: readonly Float64Array[];
  readonly latencies: readonly Histogram[];
  /** p99 of the first tenant in each slot. */
  readonly p99PerSlotUs: readonly { readonly x: number; readonly y: number }[];
  /** Bytes that the media were written with per byte of the host, collection included. */
  readonly writtenPerHost: number;
}

export const slotNs = 10_000_000;
const perWindow = 10;
const warmNs = 50_000_000;
/** What is in the buffer is written in this time. */
const settleNs = 200_000_000;
const pairsAtOnce = 16;

export interface InsideOptions {
  /** Of 100 ms. */
  readonly windows?: number;
  /** Reserved tenants that do nothing. */
  readonly without?: readonly string[];
  /** Times that the capacity was overwritten before. */
  readonly turns?: number;
}

/** The reserved tenants beside neighbours on the whole card. */
export async function runInside(
  neighbours: Neighbours | null,
  ruler: Ruler,
  options: InsideOptions = {},
): Promise<InsideResult> {
  const { windows = 3, without = [], turns = 1 } = options;
  const card = await agedCard(turns);
  const isWeighted = ruler.kind === 'wrr';
  const controller = await NvmeController.open(card.open(), {
    arbitration: isWeighted ? 'weighted round robin' : 'round robin',
  });
  const devices = await openVolumes(controller, isWeighted);
  const before = card.inside.media.wear()!.mediaWrittenBytes;
  if (ruler.kind === 'card') await program(controller);
  const startNs = devices[0]!.clock.nowNs() + warmNs;
  const slots = { startNs, slotNs, count: windows * perWindow };
  const tenants = devices.map((device, client) => {
    const own = reserved[client];
    const kinds = neighbours === null ? [] : neighbourKinds[neighbours];
    if (own !== undefined) {
      const { op } = own;
      const isIdle = without.includes(own.name);
      const pace: Pace = isIdle ? { kind: 'closed', depth: 0 } : own.pace;
      const how = { pace, op, bytes: 4 * KiB, units: unitsOf(op, 4 * KiB) };
      return new Tenant(device, { ...how, seed: client + 1 }, slots);
    }
    const kind = kinds[client % Math.max(1, kinds.length)];
    const depth = kind?.depth ?? 0;
    const { op, bytes: size } = kind ?? { op: BlockOp.read, bytes: 4 * KiB };
    const pace: Pace = { kind: 'closed', depth };
    const how = { pace, op, bytes: size, units: unitsOf(op, size), seed: client + 1 };
    return new Tenant(device, how, slots);
  });
  const units = tenants.map((tenant) => tenant.units);
  const way: Way =
    ruler.kind === 'host'
      ? new ByPolicy(devices, { policy: ruler.policy, depthUnits: qos.depthUnits, units })
      : new Straight(devices);
  const { clock } = card.function;
  const parts = { tenants, way, polled: pollable(devices), clock };
  runTenants(parts, startNs);
  for (const tenant of tenants) tenant.isRecording = true;
  runTenants(parts, startNs + slots.count * slotNs);
  card.checker.demandNone();
  const written = card.inside.media.wear()!.mediaWrittenBytes - before;
  return resultOf(tenants, windows, written);
}

/** The shares of all tenants, for a policy of the host. */
export const insideShares = Array.from({ length: volumeCount }, (_, client) => {
  const own = reserved[client];
  return own === undefined ? shareOf(bestEffort) : shareOf(tierOf(own));
});

function tierOf(own: ReservedTenant): Tier {
  return { ...bestEffort, name: own.name, minIops: own.units, weight: 4 };
}

export function unitsOf(op: BlockOp, size: number): number {
  if (op === BlockOp.discard) return qos.discardCostPermille / 1000;
  const weight = op === BlockOp.write ? qos.writeCostPermille / 1000 : 1;
  return (weight * size) / (4 * KiB);
}

/** Reserved volumes have a queue pair each, of the high class; neighbours share the others. */
async function openVolumes(controller: NvmeController, isWeighted: boolean): Promise<Namespace[]> {
  const { ab, lpw, mpw, hpw } = ArbitrationFeature;
  if (isWeighted) {
    const word = hpw.put(mpw.put(lpw.put(ab.put(0, 3), 1), 4), 64);
    await controller.admin.setFeature(Feature.arbitration, word);
  }
  const opened: Namespace[] = [];
  const pairs: QueuePair[] = [];
  for (let client = 0; client < volumeCount; client++) {
    const isReserved = client < reserved.length;
    const priority = isReserved ? 'high' : 'low';
    const index = isReserved ? client : reserved.length + (client % 16);
    pairs[index] ??= await controller.createQueuePair({
      entries: 4096,
      ...(isWeighted ? { priority } : {}),
    });
    const queuePair = pairs[index];
    opened.push(await controller.namespace(client + 1, { queuePair }));
  }
  return opened;
}

/** One device of each queue pair: its poll serves all of them. */
function pollable(devices: readonly Namespace[]): Namespace[] {
  return devices.slice(0, reserved.length + 16);
}

/** Used cards by how often they were overwritten. */
const aged = new Map<number, Uint8Array>();

/** Full, then written at random: garbage is collected. Made once, restored for each run. */
export async function agedCard(turns: number): Promise<SimCard> {
  const known = aged.get(turns);
  if (known !== undefined) return restoreCard(known);
  const card = new SimCard({ profile, seed: 1, carriesData: false });
  card.fill();
  const controller = await NvmeController.open(card.open());
  const devices = await openVolumes(controller, false);
  // Volumes in turn: as many at a time as there are queue pairs.
  for (let first = 0; first < volumeCount; first += pairsAtOnce) {
    const some = devices.slice(first, first + pairsAtOnce);
    const load = new IoLoad(some, { bytes: 64 * KiB, depth: 64, readPercent: 0, seed: first + 1 });
    load.run(Math.floor((turns * some.length * volumeBytes) / (64 * KiB)));
  }
  const { clock } = card.function;
  const settledNs = clock.nowNs() + settleNs;
  while (clock.nowNs() < settledNs) clock.idle(settledNs);
  await controller.close();
  const bytes = saveCard(card);
  aged.set(turns, bytes);
  await card.close();
  return restoreCard(bytes);
}

async function program(controller: NvmeController): Promise<void> {
  const qos = new UltimaQos(controller.admin);
  await qos.setTiers([bestEffort, ...reserved.map(tierOf)]);
  for (const client of reserved.keys()) await qos.assign(client + 1, client + 1);
}

function resultOf(tenants: readonly Tenant[], windows: number, written: number): InsideResult {
  const worstMetPct: Record<string, number> = {};
  const p99Us: Record<string, number> = {};
  for (const [client, own] of reserved.entries()) {
    const tenant = tenants[client]!;
    worstMetPct[own.name] = worstOf(tenant, own, windows);
    p99Us[own.name] = tenant.latency.percentile(99) / 1000;
  }
  const seconds = (windows * perWindow * slotNs) / 1e9;
  const served = tenants.map((tenant) => tenant.served.reduce((a, b) => a + b, 0) / seconds);
  const sumFrom = (first: number): number => served.slice(first).reduce((a, b) => a + b, 0);
  const hostWritten = tenants.reduce((sum, { writtenBytes }) => sum + writtenBytes, 0);
  return {
    worstMetPct,
    p99Us,
    units: sumFrom(0),
    neighbourUnits: sumFrom(reserved.length),
    perSlot: tenants.map((tenant) => tenant.served),
    latencies: reserved.map((_, client) => tenants[client]!.latency),
    p99PerSlotUs: tenants[0]!.perSlot.map((histogram, slot) => ({
      x: (slot * slotNs) / 1e9,
      y: histogram.count === 0 ? 0 : histogram.percentile(99) / 1000,
    })),
    writtenPerHost: written / Math.max(1, hostWritten),
  };
}

/**
 * A window must hold what is promised of it: the reservation of who always has something, and what
 * came of others, but for the last slot's, which may end in the next window.
 */
function worstOf(tenant: Tenant, own: ReservedTenant, windows: number): number {
  let worst = 100;
  for (let window = 0; window < windows; window++) {
    const first = window * perWindow;
    const sum = (from: Float64Array, until: number): number =>
      from.subarray(first, first + until).reduce((a, b) => a + b, 0);
    const promised = (own.units * perWindow * slotNs) / 1e9;
    const isGreedy = own.isGreedy === true;
    const demand = isGreedy ? promised : Math.min(promised, sum(tenant.came, perWindow - 1));
    worst = Math.min(worst, (100 * sum(tenant.served, perWindow)) / demand);
  }
  return worst;
}
