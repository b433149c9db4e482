import type { BlockDevice } from '../sdk/block/device.js';
import { BlockOp, BlockRequest, BlockStatus } from '../sdk/block/request.js';
import type { DmaRegion } from '../sdk/device.js';
import { TestPrng } from '../sdk/testing/prng.js';
import { KiB, MiB } from '../sdk/units.js';
import { Pool } from '../sdk/volume/pool.js';
import type { Volume } from '../sdk/volume/volume.js';

export const blockBytes = 4096;
export const depth = 32;
/** What is filled and read of a volume. */
export const span = 256 * MiB;
export const perRun = 200_000;

/** Random 4 KiB requests, always `depth` in flight. */
export class Loop {
  private readonly device: BlockDevice;
  private readonly op: BlockOp;
  private readonly free: BlockRequest[] = [];
  private readonly chance = new TestPrng(1);
  private readonly blocks: number;
  private readonly places: Uint32Array | null;
  private ended = 0;

  /**
   * @param places  blocks to choose from, or bytes from the first one on, a power of two; all of
   *   the span when left out
   */
  constructor(device: BlockDevice, op: BlockOp, places: Uint32Array | number = span) {
    this.device = device;
    this.op = op;
    this.places = typeof places === 'number' ? null : places;
    this.blocks = typeof places === 'number' ? places / device.blockBytes : places.length;
    for (let i = 0; i < depth; i++) {
      const request = new BlockRequest((done) => {
        if (done.status !== BlockStatus.ok) throw new Error(`status ${done.status}`);
        this.ended++;
        this.free.push(done);
      });
      request.setData(device.memory.allocate(blockBytes), 0, blockBytes);
      this.free.push(request);
    }
  }

  run(count: number): void {
    const { device, free, places } = this;
    const perRequest = blockBytes / device.blockBytes;
    let left = count;
    this.ended = 0;
    while (this.ended < count) {
      while (left > 0 && free.length > 0) {
        const request = free.pop()!;
        request.op = this.op;
        // A power of two, so that choosing costs next to nothing.
        request.lba = (this.chance.word() & (this.blocks / perRequest - 1)) * perRequest;
        if (places !== null) request.lba = places[request.lba]!;
        request.blockCount = perRequest;
        device.submit(request);
        left--;
      }
      if (device.poll() === 0) device.clock.idle(device.clock.nowNs() + 1e6);
    }
  }
}

export async function fill(volume: Volume, bytes: number): Promise<void> {
  const region = volume.memory.allocate(64 * KiB);
  const count = region.length / volume.blockBytes;
  for (let lba = 0; lba < bytes / volume.blockBytes; lba += count) {
    await one(volume, { op: BlockOp.write, lba, count, region });
  }
  await one(volume, { op: BlockOp.flush, lba: 0, count: 0, region });
}

export interface One {
  readonly op: BlockOp;
  readonly lba: number;
  readonly count: number;
  readonly region: DmaRegion;
}

export function oneNow(device: BlockDevice, { op, lba, count, region }: One): void {
  let isEnded = false;
  const request = new BlockRequest(() => {
    isEnded = true;
  });
  request.op = op;
  request.lba = lba;
  request.blockCount = count;
  if (op === BlockOp.read || op === BlockOp.write) {
    request.setData(region, 0, count * device.blockBytes);
  }
  device.submit(request);
  while (!isEnded) {
    if (device.poll() === 0) device.clock.idle(device.clock.nowNs() + 1e6);
  }
  if (request.status !== BlockStatus.ok) throw new Error(`status ${request.status}`);
}

export async function one(device: BlockDevice, wanted: One): Promise<void> {
  oneNow(device, wanted);
  await null;
}

export async function poolOn(...devices: BlockDevice[]): Promise<Pool> {
  const chance = new TestPrng(3);
  return Pool.create(devices, {
    overwrites: true,
    keys: () => Uint8Array.from({ length: 64 }, (_, i) => i),
    random: (bytes) => {
      for (let i = 0; i < bytes.length; i++) bytes[i] = chance.word();
    },
  });
}

export function nsPerIo(loop: Loop): number {
  const start = process.cpuUsage();
  loop.run(perRun);
  return (process.cpuUsage(start).user * 1000) / perRun;
}
