import type { Bar, FunctionReset, PciFunction } from '../../sdk/device.js';
import { ErrorCode, UltimaError } from '../../sdk/errors.js';
import { Header } from '../../sdk/spec/pcie/header.js';
import { Region } from '../../sdk/spec/vfio-user/device.js';
import { Irq } from '../../sdk/spec/vfio-user/interrupt.js';
import { msNs } from '../../sdk/units.js';
import type { NativeKernel, Watcher } from '../kernel.js';
import { UnixSocket } from '../socket.js';
import { type DmaSpaceOptions, VfioDmaSpace } from '../vfio/dma-space.js';
import { type IrqControl, VfioInterrupts } from '../vfio/interrupts.js';
import { ourMessageFds } from './agreement.js';
import { PumpingClock } from './clock.js';
import { Link } from './link.js';
import type { RemoteDevice } from './remote-device.js';
import type { RemoteRegion } from './remote-region.js';
import { demandMovable, giveState, resume, takeState } from './remote-state.js';
import { type Reach, RemoteBar, RemoteConfigSpace } from './remote-window.js';
import { SharedArenas } from './shared-arenas.js';

export interface VfioUserOptions extends DmaSpaceOptions {
  readonly kernel: NativeKernel;
  /** How long the server may take for an answer before it is given up; 5000 when left out. */
  readonly timeoutMs?: number;
  /**
   * Memory of either side is mapped by the other one: true when left out. Without it each access to
   * memory and to doorbells is a message, a thousand times slower: for servers that cannot map, and
   * to see what crosses the socket.
   */
  readonly sharesMemory?: boolean;
  /**
   * When the connection ends, how long to wait for a server to listen again at the same path; 0 or
   * left out: the function is removed at once. The wait holds the thread that reads a register. A
   * server that comes back is a controller that was reset: its driver ends every command as unknown
   * and brings the controller up again.
   */
  readonly reconnectMs?: number;
  /**
   * Tells that the server wants the device back: end I/O, then close. The device works until then.
   * Left out, the function counts as removed and its I/O ends.
   */
  readonly onRemovalRequest?: () => void;
}

const defaultTimeoutMs = 5000;
const pauseMs = 5;

/**
 * Own the PCI function that a vfio-user server offers at a UNIX socket. The server resets it on
 * opening, where it can: another client may have left it running.
 *
 * A connection that ends takes the function with it: `isRemoved`, registers of all ones, no memory
 * in reach of the server, every command of the driver ends by name. Open it again to go on; with
 * `reconnectMs` the function itself comes back, reset.
 *
 * @param path of the socket
 * @throws UltimaError ADDRESS_INVALID, BACKEND_UNAVAILABLE, DEVICE_BUSY, DEVICE_UNSUPPORTED,
 *   DEVICE_MISBEHAVED, DEVICE_REMOVED, DMA_*
 */
export async function openVfioUser(path: string, options: VfioUserOptions): Promise<PciFunction> {
  const fn = new VfioUserFunction(path, options);
  try {
    await fn.start();
    return fn;
  } catch (error) {
    await fn.close();
    throw error;
  }
}

/**
 * Take the card behind a function to another server, with its blocks, under a driver that goes on:
 * what is in flight ends there, in the same memory, with the same interrupts. Holds the thread. A
 * move that fails leaves the card where it was.
 *
 * @param fn   of `openVfioUser`
 * @param path of the socket of a server of the same card; both let cards be moved
 * @throws UltimaError DEVICE_UNSUPPORTED when one of them does not, or serves another card;
 *   BACKEND_UNAVAILABLE, DEVICE_BUSY, DEVICE_MISBEHAVED, DEVICE_REMOVED, DMA_MAP_FAILED
 */
export function moveVfioUser(fn: PciFunction, path: string): void {
  if (!(fn instanceof VfioUserFunction)) {
    throw new TypeError(`${fn.address} is no function that another process serves`);
  }
  fn.moveTo(path);
}

class VfioUserFunction implements PciFunction, Reach, IrqControl {
  readonly address: string;
  readonly clock: PumpingClock;
  readonly config: RemoteConfigSpace;
  readonly interrupts: VfioInterrupts;
  /** Of the server that has the card now. */
  private path: string;
  private readonly options: VfioUserOptions;
  private readonly kernel: NativeKernel;
  private readonly arenas: SharedArenas;
  private readonly bars = new Map<number, RemoteBar>();
  /** Eventfds of the interrupts that are about the device itself. */
  private readonly notices = new Map<number, number>();
  private readonly watchers: Watcher[] = [];
  private link: Link;
  private space: VfioDmaSpace | null = null;
  private isGone = false;
  private isClosed = false;

  constructor(path: string, options: VfioUserOptions) {
    this.address = `vfio-user:${path}`;
    this.path = path;
    this.options = options;
    this.kernel = options.kernel;
    this.clock = new PumpingClock(() => this.link.channel.pump());
    this.arenas = new SharedArenas(this.kernel, path, options.sharesMemory ?? true);
    this.link = this.connect(path, this.timeoutMs);
    this.config = new RemoteConfigSpace(this, this.link.configBytes);
    this.interrupts = new VfioInterrupts(this.kernel, this, this.clock);
  }

  async start(): Promise<void> {
    const { channel, agreement, device } = this.link;
    if (device.canReset) await device.reset();
    this.arenas.connect(channel, agreement);
    this.space = new VfioDmaSpace(this.arenas.memory, this.arenas, this.options);
    for (const index of [Irq.error, Irq.request]) this.listen(index);
  }

  get dma(): VfioDmaSpace {
    if (this.space === null) throw new TypeError(`${this.address} is not open yet`);
    return this.space;
  }

  get isRemoved(): boolean {
    if (this.isGone) return true;
    if (!this.link.channel.isAlive) return this.isClosed || !this.comesBack;
    for (const bar of this.bars.values()) {
      if (bar.wasHit) this.link.channel.die('it cut its own registers short');
    }
    return !this.link.channel.isAlive && !this.comesBack;
  }

  bar(index: number): Bar {
    const known = this.bars.get(index);
    if (known !== undefined) return known;
    if (this.isClosed) throw new TypeError(`${this.address} is closed`);
    if (!Number.isInteger(index) || index < Region.bar0 || index > Region.bar5) {
      throw new RangeError(`BAR ${index} is not in 0..5`);
    }
    const device = this.device();
    if (device === null) throw this.removed('asking for a BAR');
    const region = device.region(index);
    if (region.length === 0) throw new RangeError(`${this.address} has no BAR ${index}`);
    const bar = this.mapBar(region);
    this.bars.set(index, bar);
    return bar;
  }

  /** Configuration space and interrupts are afterwards as they were. */
  async reset(_kind: FunctionReset): Promise<void> {
    const saved = this.saveConfig();
    const device = this.device();
    if (device === null) throw this.removed('resetting');
    await device.reset().catch((error: unknown) => {
      // A function that comes back after its server has died over this comes back reset.
      if (device.isAlive || this.device() === null) throw error;
    });
    this.restoreConfig(saved);
    if (this.link.device === device) this.connectInterrupts(device);
  }

  close(): Promise<void> {
    this.release();
    return Promise.resolve();
  }

  /** The device, or null when it is gone; waits for it when it may come back. */
  device(): RemoteDevice | null {
    if (this.link.channel.isAlive) return this.link.device;
    if (this.isGone || this.isClosed || !this.comesBack) return null;
    return this.reconnect();
  }

  get hasMappedRegisters(): boolean {
    for (const bar of this.bars.values()) if (bar.mappedBytes > 0) return true;
    return false;
  }

  irq(index: number): { readonly count: number } {
    return this.link.device.irq(index);
  }

  setEventfds(index: number, eventfds: readonly number[]): void {
    // A device that is gone fires nothing; one that comes back is told then.
    if (this.link.channel.isAlive) this.link.device.setEventfds(index, eventfds);
  }

  trigger(index: number, vector: number): void {
    this.device()?.trigger(index, vector);
  }

  moveTo(path: string): void {
    const from = this.link;
    if (!from.channel.isAlive) throw this.removed('moving it');
    demandMovable(from);
    const to = this.connect(path, this.timeoutMs);
    try {
      if (to.identity !== from.identity) throw otherCard(from, to);
      demandMovable(to);
      // Doorbells of before it stopped are part of the state; this thread rings none until the end.
      const state = takeState(from);
      this.arenas.connect(to.channel, to.agreement);
      this.connectInterrupts(to.device);
      giveState(to, state);
      for (const [index, bar] of this.bars) bar.attach(to.device.region(index));
      resume(to);
    } catch (error) {
      to.channel.die('the card did not move there');
      this.stay(from);
      throw error;
    }
    this.link = to;
    this.path = path;
    from.channel.die('the card has moved');
  }

  /** A move has failed: everything is as it was before. */
  private stay(from: Link): void {
    const { channel, agreement } = from;
    if (!channel.isAlive) return;
    this.arenas.stayWith(channel, agreement);
    for (const [index, bar] of this.bars) bar.attach(from.device.region(index));
    resume(from);
  }

  private mapBar(region: RemoteRegion): RemoteBar {
    try {
      return new RemoteBar(this.kernel, this, region);
    } catch (error) {
      if (!(error instanceof UltimaError)) throw error;
      const { address } = this;
      const { index } = region;
      const message = `${address}: the registers of BAR ${index} are not there: ${error.message}`;
      throw new UltimaError(ErrorCode.deviceMisbehaved, message, { address, bar: index });
    }
  }

  private get comesBack(): boolean {
    return (this.options.reconnectMs ?? 0) > 0;
  }

  private get timeoutMs(): number {
    return this.options.timeoutMs ?? defaultTimeoutMs;
  }

  private connect(path: string, timeoutMs: number): Link {
    let link: Link | null = null;
    link = new Link({
      socket: UnixSocket.connect(this.kernel, path, ourMessageFds),
      path,
      clock: this.clock,
      timeoutMs,
      takesFds: this.options.sharesMemory ?? true,
      commands: this.arenas,
      // One that the card has left, or has not come to, may end.
      onDeath: () => {
        if (link !== null && link === this.link) this.lost();
      },
    });
    return link;
  }

  /** The connection has ended. */
  private lost(): void {
    if (this.isClosed) return;
    for (const bar of this.bars.values()) bar.detach();
    this.arenas.takeBack();
  }

  /** Holds the thread: whoever reads a register waits for its value. */
  private reconnect(): RemoteDevice | null {
    const { identity } = this.link;
    const untilNs = this.clock.nowNs() + (this.options.reconnectMs ?? 0) * msNs;
    for (;;) {
      const leftMs = Math.ceil((untilNs - this.clock.nowNs()) / msNs);
      if (leftMs <= 0) break;
      const link = this.tryConnect(Math.min(leftMs, this.timeoutMs));
      if (link === null) {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pauseMs);
        continue;
      }
      if (link.identity !== identity) {
        link.channel.die('it serves another device than before');
        break;
      }
      return link.device;
    }
    this.isGone = true;
    return null;
  }

  /** A connection on which everything stands as it stood on the one before; the device is reset. */
  private tryConnect(timeoutMs: number): Link | null {
    let link: Link;
    try {
      link = this.connect(this.path, timeoutMs);
    } catch (error) {
      if (error instanceof UltimaError) return null;
      throw error;
    }
    this.link = link;
    try {
      if (link.device.canReset) link.device.resetNow();
      this.arenas.connect(link.channel, link.agreement);
      this.connectInterrupts(link.device);
      for (const [index, bar] of this.bars) {
        const region = link.device.region(index);
        bar.attach(region);
      }
      return link;
    } catch (error) {
      link.channel.die('it did not take up where the connection before had ended');
      if (error instanceof UltimaError) return null;
      throw error;
    }
  }

  private connectInterrupts(device: RemoteDevice): void {
    const { eventfds } = this.interrupts;
    if (eventfds.length > 0) {
      device.setEventfds(Irq.msix, []);
      device.setEventfds(Irq.msix, eventfds);
    }
    for (const [index, fd] of this.notices) device.setEventfds(index, [fd]);
  }

  /** Be told when the device has failed, or when the server wants it back. */
  private listen(index: number): void {
    const { device } = this.link;
    if (device.irq(index).count === 0) return;
    const fd = this.kernel.eventfd();
    if (fd < 0) return;
    this.notices.set(index, fd);
    device.setEventfds(index, [fd]);
    this.watchers.push(
      this.kernel.watch(fd, () => {
        if (this.kernel.takeEvent(fd) === 0) return;
        const { onRemovalRequest } = this.options;
        if (index === Irq.request && onRemovalRequest !== undefined) onRemovalRequest();
        else this.isGone = true;
      }),
    );
  }

  private saveConfig(): readonly number[] {
    return restoredDwords.map((dword) => this.config.read32(dword * 4));
  }

  /** The command register last: nothing is enabled before its address stands. */
  private restoreConfig(saved: readonly number[]): void {
    for (const [i, dword] of restoredDwords.entries()) {
      if (dword === commandDword) this.config.write16(dword * 4, saved[i]! & 0xffff);
      else this.config.write32(dword * 4, saved[i]!);
    }
  }

  /** In the order in which nothing that still runs loses what it stands on. */
  private release(): void {
    if (this.isClosed) return;
    this.stopBusMaster();
    this.isClosed = true;
    const { channel } = this.link;
    const steps: (() => void)[] = [
      ...this.watchers.map((watcher) => () => watcher.close()),
      () => this.interrupts.close(),
      ...[...this.notices.keys()].map((index) => () => this.setEventfds(index, [])),
      ...[...this.notices.values()].map((fd) => () => void this.kernel.close(fd)),
      () => this.space?.close(),
      ...[...this.bars.values()].map((bar) => () => bar.detach()),
      () => channel.die('we closed it'),
    ];
    const failures: unknown[] = [];
    const isLost = !channel.isAlive;
    for (const step of steps) {
      try {
        step();
      } catch (error) {
        // A server that refuses some of this, or dies over it: the rest is given back all the same.
        failures.push(error);
      }
    }
    if (failures.length > 0 && !isLost && !this.isGone) throw failures[0];
  }

  /** DMA ends before the memory behind it goes [PCIe-4.0 §? Bus Master Enable]. */
  private stopBusMaster(): void {
    if (!this.link.channel.isAlive) return;
    const offset = Header.busMasterEnable.dword * 4;
    const command = this.config.read16(offset);
    if (command !== 0xffff) this.config.write16(offset, Header.busMasterEnable.put(command, 0));
  }

  private removed(during: string): UltimaError {
    const { reason } = this.link.channel;
    return new UltimaError(
      ErrorCode.deviceRemoved,
      `${this.address} is gone (${during}): ${reason}; start its server and open it again`,
      { address: this.address, during, reason },
    );
  }
}

function otherCard(from: Link, to: Link): UltimaError {
  return new UltimaError(
    ErrorCode.deviceUnsupported,
    `${to.path} serves another card than ${from.path}: start both with the same card`,
    { from: from.path, to: to.path },
  );
}

const commandDword = Header.busMasterEnable.dword;
/** What a reset clears and the platform puts back. */
const restoredDwords = [
  Header.cacheLineSize.dword,
  Header.bar0.dword,
  Header.bar1.dword,
  Header.bar2.dword,
  Header.bar3.dword,
  Header.bar4.dword,
  Header.bar5.dword,
  Header.interruptLine.dword,
  commandDword,
];
