import { BlockOp, BlockRequest, BlockStatus, blockFlagFua } from '../../sdk/block/request.js';
import { checkMaps } from '../../sdk/volume/check-maps.js';
import { leastCacheBytes } from '../../sdk/volume/pager.js';
import { Pool } from '../../sdk/volume/pool.js';
import type { ObjectName } from '../../sdk/volume/pool-names.js';
import type { Volume } from '../../sdk/volume/volume.js';
import { Prng } from '../../sim/prng.js';
import { campaign, type Tally } from '../support/campaign.js';
import { CrashDevice } from '../support/crash-device.js';
import { sectorBytes, stampSectors, VolumeModel } from '../support/volume-model.js';
import { compareWithModel, namedDevices, readVersions } from '../support/volume-rig.js';

interface FuzzStep {
  readonly kind: FuzzKind;
  readonly pick: number;
  readonly other: number;
  /** Requests of a burst: sectors that do not overlap. */
  readonly requests: readonly FuzzRequest[];
}

interface FuzzRequest {
  readonly op: BlockOp;
  readonly first: number;
  readonly count: number;
  readonly isFua: boolean;
}

type FuzzKind =
  | 'burst'
  | 'flush'
  | 'snapshot'
  | 'group'
  | 'restore'
  | 'clone'
  | 'create'
  | 'deleteSnapshot'
  | 'deleteVolume'
  | 'grow'
  | 'rename'
  | 'changes'
  | 'compare'
  | 'space'
  | 'reopen';

const weights: readonly { readonly kind: FuzzKind; readonly weight: number }[] = [
  { kind: 'burst', weight: 200 },
  { kind: 'flush', weight: 10 },
  { kind: 'snapshot', weight: 8 },
  { kind: 'group', weight: 2 },
  { kind: 'restore', weight: 3 },
  { kind: 'clone', weight: 3 },
  { kind: 'create', weight: 2 },
  { kind: 'deleteSnapshot', weight: 7 },
  { kind: 'deleteVolume', weight: 2 },
  { kind: 'grow', weight: 2 },
  { kind: 'rename', weight: 2 },
  { kind: 'changes', weight: 6 },
  { kind: 'compare', weight: 1 },
  { kind: 'space', weight: 2 },
  { kind: 'reopen', weight: 1 },
];
const volumeSectors = 4096;
const mostObjects = 14;
const keys = (): Uint8Array => Uint8Array.from({ length: 64 }, (_, i) => i);

export const campaignOfVolumes = campaign<FuzzStep>({
  claim: 'volumes, snapshots, clones and differences are as a naive model of whole arrays says',
  plan,
  run: (steps, seed, tally) => new Fuzz(steps, seed, tally).run(),
});

function plan(prng: Prng): FuzzStep[] {
  const total = weights.reduce((sum, { weight }) => sum + weight, 0);
  return Array.from({ length: 300 }, () => {
    let left = prng.below(total);
    const { kind } = weights.find(({ weight }) => {
      left -= weight;
      return left < 0;
    })!;
    const requests = kind === 'burst' ? planBurst(prng) : [];
    return { kind, pick: prng.below(1000), other: prng.below(1000), requests };
  });
}

/** Requests that do not overlap, in random order; small ones crowd into the same cells. */
function planBurst(prng: Prng): FuzzRequest[] {
  const requests: FuzzRequest[] = [];
  const grain = prng.chance(0.5) ? 8 : 1;
  const most = 1 + prng.below(prng.chance(0.2) ? 40 : 4);
  let first = prng.below(volumeSectors / 8) * 8;
  for (let i = 1 + prng.below(12); i > 0; i--) {
    const count = (1 + prng.below(most)) * grain;
    const op = prng.chance(0.35)
      ? BlockOp.read
      : prng.chance(0.8)
        ? BlockOp.write
        : prng.chance(0.5)
          ? BlockOp.discard
          : BlockOp.writeZeroes;
    requests.push({ op, first, count, isFua: prng.chance(0.1) });
    first += count + (prng.chance(0.7) ? 0 : prng.below(64) * grain);
  }
  for (let i = requests.length - 1; i > 0; i--) {
    const j = prng.below(i + 1);
    [requests[i], requests[j]] = [requests[j]!, requests[i]!];
  }
  return requests;
}

class Fuzz {
  private readonly steps: readonly FuzzStep[];
  private readonly tally: Tally;
  private readonly chance: Prng;
  private readonly devices: readonly CrashDevice[];
  private readonly blockBytes: 512 | 4096;
  private readonly model = new VolumeModel();
  /** Volume or snapshot of the model → the volume that all of its family come from. */
  private readonly families = new Map<string, number>();
  private readonly isEncrypted: boolean;
  private readonly hasChecks: boolean;
  /** Half of all pools have no room for their maps. */
  private readonly memory: { readonly mapCacheBytes?: number };
  private version = 0;

  constructor(steps: readonly FuzzStep[], seed: number, tally: Tally) {
    this.steps = steps;
    this.tally = tally;
    this.chance = new Prng(seed, 'run');
    const blockBytes = this.chance.chance(0.7) ? 512 : 4096;
    const count = 1 + this.chance.below(3);
    const bytes = (3 + this.chance.below(12)) * 1024 * 1024;
    const hasVolatileCache = this.chance.chance(0.5);
    const pollsPerEnd = this.chance.chance(0.7) ? 1 : 7;
    this.devices = Array.from(
      { length: count },
      () => new CrashDevice({ blockBytes, bytes, hasVolatileCache, pollsPerEnd }),
    );
    this.blockBytes = this.chance.chance(0.7) ? 512 : 4096;
    this.isEncrypted = this.chance.chance(0.25);
    this.hasChecks = this.chance.chance(0.4);
    this.memory = this.chance.chance(0.5) ? { mapCacheBytes: leastCacheBytes } : {};
  }

  async run(): Promise<string | null> {
    const random = (bytes: Uint8Array): void => this.chance.fill(bytes);
    let pool = await Pool.create(this.devices, {
      random,
      journalBytes: 128 * 1024,
      keys,
      ...this.memory,
    });
    await this.create(pool);
    for (const [i, step] of this.steps.entries()) {
      if (step.kind === 'reopen') pool = await this.reopen(pool);
      const fault = await this.step(pool, step);
      if (fault !== null) return `step ${i} (${step.kind}): ${fault}`;
      this.tally[step.kind] = (this.tally[step.kind] ?? 0) + 1;
    }
    pool = await this.reopen(pool);
    return (await this.sound(pool)) ?? compareWithModel(pool, this.model);
  }

  private async reopen(pool: Pool): Promise<Pool> {
    await pool.close();
    this.tally.fetched = (this.tally.fetched ?? 0) + pool.core.pager.fetched;
    return Pool.open(this.devices.toReversed(), { keys, ...this.memory });
  }

  private async sound(pool: Pool): Promise<string | null> {
    await pool.settleSpace();
    const faults = (await checkMaps(pool.core)).map(({ what, text }) => `${what}: ${text}`);
    return faults.length > 0 ? faults.slice(0, 3).join('; ') : null;
  }

  private async step(pool: Pool, step: FuzzStep): Promise<string | null> {
    const { model } = this;
    const volumes = [...model.objects.keys()].filter((name) => !name.includes('@')).sort();
    if (volumes.length === 0) {
      await this.create(pool);
      return null;
    }
    const volume = volumes[step.pick % volumes.length]!;
    const snapshots = model.snapshotsOf(volume).sort();
    const snapshot = snapshots[step.other % Math.max(1, snapshots.length)] ?? null;
    const isFull = model.objects.size >= mostObjects;
    const name = `n${++this.version}`;
    switch (step.kind) {
      case 'burst':
        return this.burst(pool.volume(volume), volume, step.requests);
      case 'flush':
        await this.request(pool.volume(volume), { op: BlockOp.flush, first: 0, count: 0 });
        return null;
      case 'compare':
        return (await this.sound(pool)) ?? compareWithModel(pool, model);
      case 'changes':
        return this.changes(pool, step);
      case 'space':
        return this.space(pool, volume, snapshot);
      case 'reopen':
        return null;
      default:
        return this.manage(pool, step.kind, { volume, snapshot, name, isFull });
    }
  }

  /** What may find no space, and then must have changed nothing. */
  private async manage(pool: Pool, kind: FuzzKind, on: Managed): Promise<string | null> {
    try {
      await this.manageOrThrow(pool, kind, on);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'POOL_FULL')) throw error;
      this.tally.full = (this.tally.full ?? 0) + 1;
    }
    return null;
  }

  private async manageOrThrow(pool: Pool, kind: FuzzKind, on: Managed): Promise<void> {
    const { model } = this;
    const { volume, snapshot, name, isFull } = on;
    const short = snapshot?.slice(volume.length + 1) ?? '';
    if (kind === 'create' && !isFull) {
      await this.create(pool);
    } else if (kind === 'snapshot' && !isFull) {
      await pool.takeSnapshot([{ volume, name }]);
      this.duplicate(volume, `${volume}@${name}`);
    } else if (kind === 'group' && !isFull) {
      const volumes = [...model.objects.keys()].filter((one) => !one.includes('@'));
      await pool.takeSnapshot(volumes.map((one) => ({ volume: one, name })));
      for (const one of volumes) this.duplicate(one, `${one}@${name}`);
    } else if (kind === 'restore' && snapshot !== null && !isFull) {
      await pool.restore(volume, short, name);
      model.restore(volume, snapshot, `${volume}@${name}`);
      this.families.set(`${volume}@${name}`, this.families.get(volume)!);
    } else if (kind === 'clone' && !isFull) {
      await pool.clone(snapshot === null ? { volume } : { volume, snapshot: short }, name);
      this.duplicate(snapshot ?? volume, name);
    } else if (kind === 'deleteSnapshot' && snapshot !== null) {
      await pool.deleteSnapshot(volume, short);
      model.objects.delete(snapshot);
    } else if (kind === 'deleteVolume') {
      await pool.deleteVolume(volume, { withSnapshots: true });
      for (const one of [volume, ...model.snapshotsOf(volume)]) model.objects.delete(one);
    } else if (kind === 'grow') {
      const bytes = model.objects.get(volume)!.bytes + 4096 * (1 + this.chance.below(40));
      await pool.growVolume(volume, bytes);
      model.grow(volume, bytes);
    } else if (kind === 'rename') {
      await pool.renameVolume(volume, name);
      for (const one of [volume, ...model.snapshotsOf(volume)]) {
        const to = name + one.slice(volume.length);
        this.duplicate(one, to);
        model.objects.delete(one);
      }
    }
  }

  private duplicate(from: string, to: string): void {
    this.model.duplicate(from, to);
    this.families.set(to, this.families.get(from)!);
  }

  private async create(pool: Pool): Promise<void> {
    const name = `v${++this.version}`;
    const bytes = volumeSectors * sectorBytes;
    const key = { hasChecks: this.hasChecks, ...(this.isEncrypted ? { keyId: 'k' } : {}) };
    await pool.createVolume({ name, bytes, blockBytes: this.blockBytes, ...key });
    this.model.create(name, bytes);
    this.families.set(name, this.version);
  }

  private async burst(
    volume: Volume,
    name: string,
    requests: readonly FuzzRequest[],
  ): Promise<string | null> {
    const { sectors } = this.model.objects.get(name)!;
    const scale = volume.blockBytes / sectorBytes;
    const runs = requests
      .map((request) => ({
        ...request,
        first: Math.floor(request.first / scale) * scale,
        count: Math.ceil(request.count / scale) * scale,
        version: ++this.version,
      }))
      .filter(({ first, count }) => first + count <= sectors.length);
    // Rounding to larger blocks may have made them overlap.
    const taken = new Set<number>();
    const apart = runs.filter(({ first, count }) => {
      const all = Array.from({ length: count }, (_, i) => first + i);
      if (all.some((sector) => taken.has(sector))) return false;
      for (const sector of all) taken.add(sector);
      return true;
    });
    this.tally.requests = (this.tally.requests ?? 0) + apart.length;
    const faults = await Promise.all(apart.map((one) => this.one(volume, name, one)));
    return faults.find((fault) => fault !== null) ?? null;
  }

  private async one(
    volume: Volume,
    name: string,
    wanted: FuzzRequest & { readonly version: number },
  ): Promise<string | null> {
    const { op, first, count, version } = wanted;
    const region = volume.memory.allocate(count * sectorBytes);
    if (op === BlockOp.write) stampSectors(region.bytes, first, version);
    const request = new BlockRequest(() => {});
    if (op === BlockOp.read || op === BlockOp.write) this.scatter(request, region, count);
    const status = await this.request(volume, wanted, request);
    const { sectors } = this.model.objects.get(name)!;
    if (op === BlockOp.read) {
      const copy = new Uint32Array(region.words);
      for (let i = 0; i < count; i++) {
        const expected = new Uint32Array(sectorBytes / 4);
        const bytes = new Uint8Array(expected.buffer);
        if (sectors[first + i] !== 0) stampSectors(bytes, first + i, sectors[first + i]!);
        const got = copy.subarray((i * sectorBytes) / 4, ((i + 1) * sectorBytes) / 4);
        if (Buffer.compare(bytes, Buffer.from(got.buffer, got.byteOffset, sectorBytes)) !== 0) {
          return `${name} sector ${first + i} read write ${got[0]}, expected ${sectors[first + i]}`;
        }
      }
      return status === BlockStatus.ok ? null : `a read ended with status ${status}`;
    }
    const next = op === BlockOp.write ? version : 0;
    if (status === BlockStatus.ok) {
      const from = op === BlockOp.discard ? Math.ceil(first / 8) * 8 : first;
      const to = op === BlockOp.discard ? Math.floor((first + count) / 8) * 8 : first + count;
      if (to > from) sectors.fill(next, from, to);
      return null;
    }
    if (status !== BlockStatus.outOfSpace) return `operation ${op} ended with status ${status}`;
    this.tally.full = (this.tally.full ?? 0) + 1;
    const versions = await readVersions(volume, volume.memory.allocate(128 * sectorBytes));
    for (let i = first; i < first + count; i++) {
      if (versions[i] !== sectors[i] && versions[i] !== next) {
        return `${name} sector ${i} after a full pool: ${versions[i]}`;
      }
      sectors[i] = versions[i]!;
    }
    return null;
  }

  /** Data in pieces of odd lengths. */
  private scatter(
    request: BlockRequest,
    region: ReturnType<Volume['memory']['allocate']>,
    count: number,
  ): void {
    const bytes = count * sectorBytes;
    if (this.chance.chance(0.5)) {
      request.setData(region, 0, bytes);
      return;
    }
    for (let at = 0; at < bytes; ) {
      const length = request.segmentCount > 100 ? bytes - at : 1 + this.chance.below(9000);
      const take = Math.min(length, bytes - at);
      request.addSegment(region, at, take);
      at += take;
    }
  }

  private async request(
    volume: Volume,
    wanted: { readonly op: BlockOp; first: number; count: number; isFua?: boolean },
    request = new BlockRequest(() => {}),
  ): Promise<BlockStatus> {
    const scale = volume.blockBytes / sectorBytes;
    let isEnded = false;
    request.done = () => {
      isEnded = true;
    };
    request.op = wanted.op;
    request.lba = wanted.first / scale;
    request.blockCount = wanted.count / scale;
    request.flags = wanted.isFua === true ? blockFlagFua : 0;
    volume.submit(request);
    // The other requests of a burst are submitted before any of them is polled.
    await null;
    for (let i = 0; !isEnded; i++) {
      volume.poll();
      if (i > 100_000) throw new Error(`operation ${wanted.op} never ends`);
      if (!isEnded) await null;
    }
    return request.status;
  }

  private async changes(pool: Pool, step: FuzzStep): Promise<string | null> {
    const names = [...this.model.objects.keys()].sort();
    const to = names[step.pick % names.length]!;
    const family = names.filter((one) => this.families.get(one) === this.families.get(to));
    const from = step.other % 5 === 0 ? null : family[step.other % family.length]!;
    const target = this.model.objects.get(to)!;
    const copy = new Uint32Array(target.sectors.length);
    const source = from === null ? new Uint32Array(0) : this.model.objects.get(from)!.sectors;
    copy.set(source.subarray(0, copy.length));
    let end = 0;
    const side = from === null ? null : objectName(from);
    for await (const range of pool.changes(side, objectName(to))) {
      if (range.byteOffset < end) return `range at ${range.byteOffset} overlaps or goes back`;
      end = range.byteOffset + range.byteLength;
      const first = range.byteOffset / sectorBytes;
      const last = end / sectorBytes;
      if (range.isData) copy.set(target.sectors.subarray(first, last), first);
      else copy.fill(0, first, last);
    }
    const wrong = copy.findIndex((version, i) => version !== target.sectors[i]);
    return wrong < 0 ? null : `${from} and its changes to ${to} differ from it at sector ${wrong}`;
  }

  /** Deleting a snapshot frees exactly what was said to be its own. */
  private async space(pool: Pool, volume: string, snapshot: string | null): Promise<string | null> {
    await pool.settleSpace();
    for (const name of namedDevices(pool).keys()) {
      const { usedBytes, exclusiveBytes, sharedBytes } = await pool.spaceOf(objectName(name));
      if (usedBytes !== exclusiveBytes + sharedBytes) return `${name}: the parts are not the whole`;
    }
    if (snapshot === null) return null;
    const { exclusiveBytes } = await pool.spaceOf(objectName(snapshot));
    const before = pool.space().dataBytes;
    await pool.deleteSnapshot(volume, snapshot.slice(volume.length + 1));
    this.model.objects.delete(snapshot);
    await pool.settleSpace();
    const freed = before - pool.space().dataBytes;
    return freed === exclusiveBytes ? null : `freed ${freed} bytes, exclusive ${exclusiveBytes}`;
  }
}

interface Managed {
  readonly volume: string;
  readonly snapshot: string | null;
  readonly name: string;
  readonly isFull: boolean;
}

function objectName(name: string): ObjectName {
  const [volume, snapshot] = name.split('@');
  return snapshot === undefined ? { volume: volume! } : { volume: volume!, snapshot };
}
