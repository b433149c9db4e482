import type { BlockDevice } from '../block/device.js';
import { BlockOp, BlockRequest, BlockStatus, blockFlagFua } from '../block/request.js';
import type { DmaRegion } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { msNs } from '../units.js';
import { cellBytes, unitBytes } from './format.js';
import { Ring } from './ring.js';

/**
 * A device of the pool, or a part by which it has become larger since: its place among the units,
 * and a queue in front of it, so that submitting never fails for want of a slot.
 */
export class Port {
  readonly device: BlockDevice;
  readonly index: number;
  /** The first unit, in the pool's numbering and in that of the device, and how many there are. */
  firstUnit = 0;
  readonly baseUnit: number;
  unitCount: number;
  /** Requests that ended, ever: for those who wait for any progress. */
  ended = 0;
  /** Completed writes may be in the device's volatile cache. */
  needsFlush = false;
  /** Something was submitted that the device has not been told of: its doorbell rings in `poll`. */
  isSilent = false;
  private readonly blockBytes: number;
  private readonly waiting = new Ring<BlockRequest>(256);

  constructor(device: BlockDevice, index: number, baseUnit = 0) {
    this.device = device;
    this.index = index;
    this.baseUnit = baseUnit;
    this.blockBytes = device.blockBytes;
    this.unitCount = unitsOf(device) - baseUnit;
  }

  /** The first part of a device begins with its label. */
  get hasLabel(): boolean {
    return this.baseUnit === 0;
  }

  /** Byte of the device at which a unit begins. */
  byteOf(unit: number): number {
    return (unit - this.firstUnit + this.baseUnit) * unitBytes;
  }

  submit(request: BlockRequest): void {
    this.isSilent = true;
    if (this.waiting.count === 0 && this.device.canSubmit()) this.device.submit(request);
    else this.waiting.push(request);
  }

  poll(): number {
    this.isSilent = false;
    const count = this.device.poll();
    this.ended += count;
    while (this.waiting.count > 0 && this.device.canSubmit()) {
      this.device.submit(this.waiting.shift()!);
      this.isSilent = true;
    }
    return count;
  }

  /** Address a request to bytes of the device; both are multiples of its block size. */
  aim(request: BlockRequest, byteOffset: number, byteLength: number): void {
    request.lba = byteOffset / this.blockBytes;
    request.blockCount = byteLength / this.blockBytes;
  }
}

/** Whole units that a device has. */
export function unitsOf(device: BlockDevice): number {
  return Math.floor((device.blockCount * device.blockBytes) / unitBytes);
}

/** @throws UltimaError DEVICE_UNSUPPORTED for a device that no pool can lie on */
export function checkDevice(device: BlockDevice): void {
  const { blockBytes, blockCount } = device;
  const isPower = blockBytes >= 512 && (blockBytes & (blockBytes - 1)) === 0;
  if (!isPower || blockBytes > cellBytes) {
    throw new UltimaError(
      ErrorCode.deviceUnsupported,
      `a pool needs blocks of 512 to ${cellBytes} bytes, a power of two; the device has ` +
        `${blockBytes}`,
      { blockBytes },
    );
  }
  if (blockBytes * blockCount < 8 * unitBytes) {
    throw new UltimaError(
      ErrorCode.deviceUnsupported,
      `a device of a pool has at least ${8 * unitBytes} bytes; this one has ` +
        `${blockBytes * blockCount}`,
      { bytes: blockBytes * blockCount },
    );
  }
}

/** What the control path waits with: poll until something is so. */
export class Pump {
  private readonly ports: readonly Port[];
  private readonly pollAll: () => void;

  constructor(ports: readonly Port[], pollAll: () => void) {
    this.ports = ports;
    this.pollAll = pollAll;
  }

  async until(isDone: () => boolean): Promise<void> {
    while (!isDone()) {
      const before = this.progress();
      this.pollAll();
      if (isDone()) return;
      if (this.progress() !== before) await null;
      else {
        const { clock } = this.ports[0]!.device;
        await clock.turn(clock.nowNs() + msNs);
      }
    }
  }

  /** In the middle of long work. */
  async letOthersRun(): Promise<void> {
    const { clock } = this.ports[0]!.device;
    await clock.turn(clock.nowNs());
  }

  private progress(): number {
    let sum = 0;
    for (const port of this.ports) sum += port.ended;
    return sum;
  }
}

/** What a device could read of a range. */
export interface CellsRead {
  readonly words: Uint32Array;
  /** Numbers of the 4 KiB, from the first one of the range, that it could not. */
  readonly missing: ReadonlySet<number>;
}

/** Reads, writes and flushes of the control path: one promise each. */
export class ControlIo {
  private readonly pump: Pump;

  constructor(pump: Pump) {
    this.pump = pump;
  }

  /** @returns a copy of the bytes, as dwords */
  async read(port: Port, byteOffset: number, byteLength: number): Promise<Uint32Array> {
    const { memory } = port.device;
    const region = memory.allocate(byteLength);
    try {
      await this.run(port, { op: BlockOp.read, byteOffset, region, byteLength });
      return region.words.slice(0, byteLength / 4);
    } finally {
      memory.free(region);
    }
  }

  /**
   * As `read`, where a place that cannot be read does not cost the rest: then each 4 KiB is read
   * alone, and ones stand for what is missing, which no structure of a pool consists of.
   *
   * @throws UltimaError COMMAND_FAILED when nothing at all can be read, or nobody answers
   */
  async readCells(port: Port, byteOffset: number, byteLength: number): Promise<CellsRead> {
    const missing = new Set<number>();
    try {
      return { words: await this.read(port, byteOffset, byteLength), missing };
    } catch (error) {
      if (byteLength === cellBytes || !wasAnswered(error)) throw error;
    }
    const words = new Uint32Array(byteLength / 4).fill(0xffff_ffff);
    let last: unknown = null;
    for (let at = 0; at < byteLength; at += cellBytes) {
      try {
        words.set(await this.read(port, byteOffset + at, cellBytes), at / 4);
      } catch (error) {
        if (!wasAnswered(error)) throw error;
        missing.add(at / cellBytes);
        last = error;
      }
    }
    if (missing.size === byteLength / cellBytes) throw last;
    return { words, missing };
  }

  /** Durable when it returns, if it is with FUA. */
  async write(
    port: Port,
    byteOffset: number,
    words: Uint32Array,
    options: { readonly isFua: boolean },
  ): Promise<void> {
    const { memory } = port.device;
    const byteLength = words.length * 4;
    const region = memory.allocate(byteLength);
    try {
      region.words.set(words);
      const { isFua } = options;
      await this.run(port, { op: BlockOp.write, byteOffset, region, byteLength, isFua });
      if (!isFua) port.needsFlush = true;
    } finally {
      memory.free(region);
    }
  }

  async flush(port: Port): Promise<void> {
    if (!port.device.limits.hasVolatileCache) return;
    await this.run(port, { op: BlockOp.flush, byteOffset: 0, region: null, byteLength: 0 });
  }

  private async run(port: Port, wanted: ControlRequest): Promise<void> {
    let isEnded = false;
    const request = new BlockRequest(() => {
      isEnded = true;
    });
    request.op = wanted.op;
    request.flags = wanted.isFua === true ? blockFlagFua : 0;
    port.aim(request, wanted.byteOffset, wanted.byteLength);
    if (wanted.region !== null) request.setData(wanted.region, 0, wanted.byteLength);
    port.submit(request);
    await this.pump.until(() => isEnded);
    if (request.status === BlockStatus.ok) return;
    const { status, detail } = request;
    throw new UltimaError(
      ErrorCode.commandFailed,
      `device ${port.index} of the pool answered status ${status} at byte ${wanted.byteOffset}`,
      { status, detail, device: port.index, byteOffset: wanted.byteOffset },
    );
  }
}

/** Whether a device has said that it cannot read there. One that says nothing has lost nothing. */
export function wasAnswered(error: unknown): boolean {
  if (!(error instanceof UltimaError)) return false;
  const { status } = error.facts;
  return status !== BlockStatus.notExecuted && status !== BlockStatus.unknown;
}

interface ControlRequest {
  readonly op: BlockOp;
  readonly byteOffset: number;
  readonly byteLength: number;
  readonly region: DmaRegion | null;
  readonly isFua?: boolean;
}
