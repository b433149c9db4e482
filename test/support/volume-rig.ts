import { BlockOp, BlockRequest, BlockStatus, blockFlagFua } from '../../sdk/block/request.js';
import type { DmaRegion, DmaSpace } from '../../sdk/device.js';
import type { Pool } from '../../sdk/volume/pool.js';
import type { Volume } from '../../sdk/volume/volume.js';
import { sectorBytes, stampSectors, type VolumeModel, versionOf } from './volume-model.js';

export interface RigRequest {
  readonly op: BlockOp;
  /** Blocks of the volume. */
  readonly lba: number;
  readonly count: number;
  readonly region?: DmaRegion;
  readonly isFua?: boolean;
}

/** Carry out one request, polling. @returns its status */
export async function runRequest(volume: Volume, wanted: RigRequest): Promise<BlockStatus> {
  let isEnded = false;
  const request = new BlockRequest(() => {
    isEnded = true;
  });
  request.op = wanted.op;
  request.lba = wanted.lba;
  request.blockCount = wanted.count;
  request.flags = wanted.isFua === true ? blockFlagFua : 0;
  if (wanted.region !== undefined) {
    request.setData(wanted.region, 0, wanted.count * volume.blockBytes);
  }
  volume.submit(request);
  if (isEnded) throw new Error('done ran inside submit');
  // Others that are sent at the same time are under way, too.
  await null;
  for (let i = 0; !isEnded; i++) {
    volume.poll();
    if (i > 100_000) throw new Error(`operation ${wanted.op} at ${wanted.lba} never ends`);
    if (i > 2) await null;
  }
  return request.status;
}

/** Write sectors as `version` does. */
export async function writeSectors(
  volume: Volume,
  first: number,
  count: number,
  version: number,
  isFua = false,
): Promise<void> {
  const region = volume.memory.allocate(count * sectorBytes);
  stampSectors(region.bytes, first, version);
  const scale = volume.blockBytes / sectorBytes;
  const status = await runRequest(volume, {
    op: BlockOp.write,
    lba: first / scale,
    count: count / scale,
    region,
    isFua,
  });
  if (status !== BlockStatus.ok) throw new Error(`a write ended with status ${status}`);
}

/** An operation without data. */
export async function runPlain(
  volume: Volume,
  op: BlockOp,
  first: number,
  count: number,
): Promise<void> {
  const scale = volume.blockBytes / sectorBytes;
  const status = await runRequest(volume, { op, lba: first / scale, count: count / scale });
  if (status !== BlockStatus.ok) throw new Error(`operation ${op} ended with status ${status}`);
}

const readChunk = 128;
/** One buffer for each device memory: thousands of pools are opened in a storm. */
const buffers = new WeakMap<DmaSpace, DmaRegion>();

function bufferOf(memory: DmaSpace): DmaRegion {
  let region = buffers.get(memory);
  if (region === undefined) {
    region = memory.allocate(readChunk * sectorBytes);
    buffers.set(memory, region);
  }
  return region;
}

/**
 * The writes that a device's sectors come from.
 *
 * @param region  a buffer of one's own where several read at a time
 */
export async function readVersions(
  volume: Volume,
  region = bufferOf(volume.memory),
): Promise<Int32Array> {
  const scale = volume.blockBytes / sectorBytes;
  const sectors = volume.blockCount * scale;
  const versions = new Int32Array(sectors);
  for (let first = 0; first < sectors; first += readChunk) {
    const count = Math.min(readChunk, sectors - first);
    const status = await runRequest(volume, {
      op: BlockOp.read,
      lba: first / scale,
      count: count / scale,
      region,
    });
    if (status !== BlockStatus.ok) throw new Error(`a read ended with status ${status}`);
    for (let i = 0; i < count; i++) {
      versions[first + i] = versionOf(region.words, i * (sectorBytes / 4), first + i);
    }
  }
  return versions;
}

/** Everything in a pool by the model's names. */
export function namedDevices(pool: Pool): Map<string, Volume> {
  const devices = new Map<string, Volume>();
  for (const { name } of pool.volumes()) {
    devices.set(name, pool.volume(name));
    for (const snapshot of pool.snapshots(name)) {
      devices.set(`${name}@${snapshot.name}`, pool.snapshot(name, snapshot.name));
    }
  }
  return devices;
}

export function catalogOf(pool: Pool): string {
  const rows = [...namedDevices(pool)].map(([name, { object }]) => `${name}:${object.bytes}`);
  return rows.sort().join(' ');
}

/** Compare all content with the model. @returns null, or the first difference in words */
export async function compareWithModel(pool: Pool, model: VolumeModel): Promise<string | null> {
  if (catalogOf(pool) !== model.catalog) {
    return `catalog ${catalogOf(pool)}, expected ${model.catalog}`;
  }
  for (const [name, device] of namedDevices(pool)) {
    const versions = await readVersions(device);
    const { sectors } = model.objects.get(name)!;
    for (let i = 0; i < versions.length; i++) {
      if (versions[i] === sectors[i]) continue;
      return `${name} sector ${i}: write ${versions[i]}, expected ${sectors[i]}`;
    }
  }
  return null;
}
