import { ErrorCode, UltimaError } from '../../sdk/errors.js';
import { RegionAccess } from '../../sdk/spec/vfio-user/access.js';
import { DeviceInfo, Region, RegionInfo, regionCount } from '../../sdk/spec/vfio-user/device.js';
import { Command } from '../../sdk/spec/vfio-user/header.js';
import { IrqInfo, IrqSet } from '../../sdk/spec/vfio-user/interrupt.js';
import type { Agreement } from './agreement.js';
import { callFailure } from './call-failure.js';
import { type Channel, type Expected, nothingExpected, payloadAt } from './channel.js';
import { type RemoteRegion, readRegion } from './remote-region.js';

/** What a server says about one kind of interrupt. */
export interface RemoteIrq {
  readonly count: number;
  readonly hasEventfd: boolean;
  readonly cannotResize: boolean;
}

const accessBytes = RegionAccess.layout.bytes;
const accessWords = accessBytes / 4;
const readExpected: readonly Expected[] = [0, 1, 2, 3, 4].map((count) => ({
  least: accessBytes + count,
  most: accessBytes + count,
  descriptors: 0,
}));
const writeExpected: Expected = { least: accessBytes, most: accessBytes, descriptors: 0 };
/** A reset flushes caches: it may take as long as a real drive's. */
const resetTimeoutMs = 60_000;
/** More capabilities than this is nonsense. */
const longestRegionInfo = 65_536;
const firstRegionInfo = 1024;
const mostVectors = 2048;

/** The device behind a connection: what it has, and the commands on it. */
export class RemoteDevice {
  readonly canReset: boolean;
  readonly path: string;
  readonly channel: Channel;
  private readonly agreement: Agreement;
  private readonly irqs = new Map<number, RemoteIrq>();

  /** @throws UltimaError DEVICE_UNSUPPORTED, DEVICE_MISBEHAVED, DEVICE_REMOVED */
  constructor(channel: Channel, agreement: Agreement, path: string) {
    this.channel = channel;
    this.agreement = agreement;
    this.path = path;
    const { draft, reply } = channel;
    const bytes = DeviceInfo.layout.bytes;
    draft.fill(0, payloadAt, payloadAt + bytes / 4);
    DeviceInfo.argsz.set(draft, payloadAt, bytes);
    const errno = channel.call(Command.deviceGetInfo, bytes, {
      least: bytes,
      most: bytes,
      descriptors: 0,
    });
    if (errno !== 0) throw callFailure(this, 'VFIO_USER_DEVICE_GET_INFO', errno);
    if (DeviceInfo.isPci.get(reply, payloadAt) === 0) {
      throw new UltimaError(
        ErrorCode.deviceUnsupported,
        `${path}: the device that is served there is not a PCI function`,
        { path },
      );
    }
    this.canReset = DeviceInfo.canReset.get(reply, payloadAt) === 1;
    const regions = DeviceInfo.regionCount.get(reply, payloadAt);
    if (regions <= Region.config) {
      throw this.wrong(`it has ${regions} regions, a PCI function has at least ${regionCount - 1}`);
    }
  }

  get isAlive(): boolean {
    return this.channel.isAlive;
  }

  /**
   * What a region is, with the descriptor of its memory where there is one: the caller's from now
   * on.
   *
   * @throws UltimaError DEVICE_MISBEHAVED, DEVICE_REMOVED
   */
  region(index: number): RemoteRegion {
    let region = this.askRegion(index, firstRegionInfo);
    if (typeof region === 'number') region = this.askRegion(index, region);
    if (typeof region === 'number') throw this.wrong(`region ${index} grows while it is described`);
    return region;
  }

  /** Vectors of a kind; none where the server refuses to say. */
  irq(index: number): RemoteIrq {
    const known = this.irqs.get(index);
    if (known !== undefined) return known;
    const { draft, reply } = this.channel;
    const bytes = IrqInfo.layout.bytes;
    draft.fill(0, payloadAt, payloadAt + bytes / 4);
    IrqInfo.argsz.set(draft, payloadAt, bytes);
    IrqInfo.index.set(draft, payloadAt, index);
    const expected = { least: bytes, most: bytes, descriptors: 0 };
    if (this.channel.call(Command.deviceGetIrqInfo, bytes, expected) !== 0) {
      return { count: 0, hasEventfd: false, cannotResize: false };
    }
    if (IrqInfo.index.get(reply, payloadAt) !== index) {
      throw this.wrong(`it describes another interrupt than ${index}, which was asked for`);
    }
    const cannotResize = IrqInfo.cannotResize.get(reply, payloadAt) === 1;
    const count = Math.min(IrqInfo.count.get(reply, payloadAt), mostVectors);
    const irq = {
      // What has to be connected at once has to fit in one message.
      count: cannotResize ? Math.min(count, this.agreement.messageFds) : count,
      hasEventfd: IrqInfo.hasEventfd.get(reply, payloadAt) === 1,
      cannotResize,
    };
    this.irqs.set(index, irq);
    return irq;
  }

  /**
   * Connect vectors 0..n - 1 to eventfds, as many with a message as the server takes. An empty list
   * turns the kind off.
   *
   * @throws UltimaError DEVICE_MISBEHAVED, DEVICE_REMOVED
   */
  setEventfds(index: number, eventfds: readonly number[]): void {
    if (eventfds.length === 0) {
      this.setIrqs(index, { start: 0, count: 0 }, []);
      return;
    }
    const step = this.agreement.messageFds;
    if (step === 0) throw this.wrong('it takes no descriptors: interrupts cannot be connected');
    for (let start = 0; start < eventfds.length; start += step) {
      const fds = eventfds.slice(start, start + step);
      this.setIrqs(index, { start, count: fds.length }, fds);
    }
  }

  /** Fire a vector from software. @throws UltimaError DEVICE_MISBEHAVED, DEVICE_REMOVED */
  trigger(index: number, vector: number): void {
    this.setIrqs(index, { start: vector, count: 1 }, []);
  }

  /**
   * Read 1, 2 or 4 bytes; the first is the lowest of the value.
   *
   * @returns all ones of that size when the server refuses or is gone
   */
  read(region: number, offset: number, count: number): number {
    const { channel } = this;
    const { draft, reply } = channel;
    RegionAccess.offset.set(draft, payloadAt, offset);
    RegionAccess.region.set(draft, payloadAt, region);
    RegionAccess.count.set(draft, payloadAt, count);
    const ones = count === 4 ? 0xffff_ffff : 2 ** (8 * count) - 1;
    if (channel.call(Command.regionRead, accessBytes, readExpected[count]!) !== 0) return ones;
    if (!this.isEcho(region, offset, count)) {
      channel.die('its answer to a read is about another register');
      return ones;
    }
    return (reply[payloadAt + accessWords]! & ones) >>> 0;
  }

  /**
   * @param isPosted  go on without waiting for the server: only where nothing can overtake it
   */
  write(access: WriteAccess, isPosted: boolean): void {
    const { channel } = this;
    const { draft } = channel;
    const { region, offset, count, value } = access;
    RegionAccess.offset.set(draft, payloadAt, offset);
    RegionAccess.region.set(draft, payloadAt, region);
    RegionAccess.count.set(draft, payloadAt, count);
    draft[payloadAt + accessWords] = value;
    if (isPosted) {
      channel.tell(Command.regionWrite, accessBytes + count);
      return;
    }
    // A server that refuses a write drops it, as a bus would.
    if (channel.call(Command.regionWrite, accessBytes + count, writeExpected) !== 0) return;
    if (!this.isEcho(region, offset, count)) {
      channel.die('its answer to a write is about another register');
    }
  }

  /** @throws UltimaError DEVICE_UNSUPPORTED, DEVICE_MISBEHAVED, DEVICE_REMOVED */
  async reset(): Promise<void> {
    this.demandReset();
    const { errno } = await this.channel.request(Command.deviceReset, 0, resetTimeoutMs);
    if (errno !== 0) throw callFailure(this, 'VFIO_USER_DEVICE_RESET', errno);
  }

  /** The same, holding the thread. */
  resetNow(): void {
    this.demandReset();
    const errno = this.channel.call(Command.deviceReset, 0, nothingExpected);
    if (errno !== 0) throw callFailure(this, 'VFIO_USER_DEVICE_RESET', errno);
  }

  private demandReset(): void {
    if (this.canReset) return;
    throw new UltimaError(
      ErrorCode.deviceUnsupported,
      `${this.path}: the server knows no way to reset its device`,
      { path: this.path },
    );
  }

  private isEcho(region: number, offset: number, count: number): boolean {
    const { reply } = this.channel;
    return (
      RegionAccess.offset.get(reply, payloadAt) === offset &&
      RegionAccess.region.get(reply, payloadAt) === region &&
      RegionAccess.count.get(reply, payloadAt) === count
    );
  }

  private setIrqs(
    index: number,
    range: { readonly start: number; readonly count: number },
    fds: readonly number[],
  ): void {
    const { draft } = this.channel;
    const bytes = IrqSet.layout.bytes;
    draft.fill(0, payloadAt, payloadAt + bytes / 4);
    IrqSet.argsz.set(draft, payloadAt, bytes);
    IrqSet.hasEventfds.set(draft, payloadAt, fds.length > 0 ? 1 : 0);
    IrqSet.hasNone.set(draft, payloadAt, fds.length > 0 ? 0 : 1);
    IrqSet.trigger.set(draft, payloadAt, 1);
    IrqSet.index.set(draft, payloadAt, index);
    IrqSet.start.set(draft, payloadAt, range.start);
    IrqSet.count.set(draft, payloadAt, range.count);
    const errno = this.channel.call(
      Command.deviceSetIrqs,
      bytes,
      nothingExpected,
      Int32Array.from(fds),
    );
    if (errno !== 0) throw callFailure(this, 'VFIO_USER_DEVICE_SET_IRQS', errno);
  }

  /** @returns bytes that the whole description needs, when they are more than `bytes` */
  private askRegion(index: number, bytes: number): RemoteRegion | number {
    const { channel, path } = this;
    const least = RegionInfo.layout.bytes;
    channel.draft.fill(0, payloadAt, payloadAt + least / 4);
    RegionInfo.argsz.set(channel.draft, payloadAt, bytes);
    RegionInfo.index.set(channel.draft, payloadAt, index);
    const expected = { least, most: bytes, descriptors: 1 };
    const errno = channel.call(Command.deviceGetRegionInfo, least, expected);
    if (errno !== 0) throw callFailure(this, 'VFIO_USER_DEVICE_GET_REGION_INFO', errno);
    const payload = channel.reply.slice(payloadAt, payloadAt + Math.floor(channel.replyBytes / 4));
    const [fd = -1] = channel.replyDescriptors;
    const needed = RegionInfo.argsz.get(payload, 0);
    if (needed > bytes && needed <= longestRegionInfo) {
      if (fd >= 0) channel.giveUp(fd);
      return needed;
    }
    const region = readRegion(payload, index);
    if (typeof region !== 'string') return { ...region, fd };
    if (fd >= 0) channel.giveUp(fd);
    channel.die(region);
    throw new UltimaError(ErrorCode.deviceMisbehaved, `${path}: ${region}`, { path, index });
  }

  private wrong(what: string): UltimaError {
    const { path } = this;
    this.channel.die(what);
    return new UltimaError(ErrorCode.deviceMisbehaved, `${path}: ${what}`, { path });
  }
}

export interface WriteAccess {
  readonly region: number;
  readonly offset: number;
  /** 1, 2 or 4. */
  readonly count: number;
  readonly value: number;
}
