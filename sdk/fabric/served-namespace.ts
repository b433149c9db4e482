import type { BlockDevice } from '../block/device.js';
import type { DmaRegion } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { Reservations } from '../reservations/reservations.js';
import { decodeReservations } from '../reservations/saved.js';
import { KiB, MiB } from '../units.js';
import type { TargetQueue } from './target-queue.js';
import { type TargetSlot, TargetSlotList } from './target-slot.js';

/** What hosts see under a namespace identifier. */
export interface FabricNamespace {
  /** 1 to 1,024. */
  readonly nsid: number;
  /** Blocks of a power of two, 512 to 65,536. All hosts share it; nobody else polls it. */
  readonly device: BlockDevice;
  /** 16 bytes that name the data, on every target that serves it. */
  readonly nguid: Uint8Array;
  /** 1 to 64; 1 when left out. Namespaces of a group share their ANA state. */
  readonly anaGroup?: number;
  /** Every write is refused; false when left out. */
  readonly isReadOnly?: boolean;
  /**
   * Writes are durable when they are answered: for hosts that connect again by themselves when the
   * target was killed, and go on as if nothing had been lost; false when left out.
   */
  readonly isWriteThrough?: boolean;
  /**
   * Hosts may reserve it. Only where nobody else serves the data: reservations are of this target.
   * Without it the namespace has none.
   */
  readonly reservations?: ReservationStore;
}

/** Where reservations lie that are to outlive the target. */
export interface ReservationStore {
  /** What was saved last; null when there is nothing. Without `save` none outlive the target. */
  readonly saved?: Uint8Array | null;
  /** Resolves when it is durable; null is to be kept, too. Commands are answered after it. */
  save?(bytes: Uint8Array | null): Promise<void>;
}

export const mostNamespaceId = 1024;
export const mostAnaGroups = 64;
const leastBlockBytes = 512;
const mostBlockBytes = 65_536;
const nguidBytes = 16;
/** Sizes of the pieces of memory that commands work in. */
const classes: readonly number[] = [4 * KiB, 16 * KiB, 64 * KiB, 256 * KiB, MiB];
/** The largest command. */
export const largestTransfer = MiB;
/** Memory that commands of a namespace may hold at once; those beyond wait. */
const budgetBytes = 64 * MiB;

/**
 * A namespace while it is served: its device, the commands in front of it and those inside. All
 * hosts use the one device, so that a flush of any of them covers the writes of all.
 */
export class ServedNamespace {
  readonly nsid: number;
  readonly device: BlockDevice;
  readonly nguid: Uint8Array;
  readonly anaGroup: number;
  readonly isReadOnly: boolean;
  readonly isWriteThrough: boolean;
  readonly reservations = new Reservations();
  /** Null where there are no reservations. */
  readonly keeper: ReservationKeeper | null;
  readonly blockBytes: number;
  readonly blockShift: number;
  /** Blocks that the device takes at once. */
  readonly partBlocks: number;
  /** What hosts were told last. */
  knownBlocks: number;
  inFlight = 0;
  /** Bytes of memory that commands hold. */
  heldBytes = 0;
  readonly finished = new TargetSlotList();
  private readonly waiting = new TargetSlotList();
  private readonly starved = new TargetSlotList();
  private readonly free: DmaRegion[][] = classes.map(() => []);
  private isClosed = false;

  /** @throws RangeError for identifiers that cannot be; UltimaError DEVICE_UNSUPPORTED */
  constructor(options: FabricNamespace) {
    const { nsid, device, nguid, anaGroup = 1 } = options;
    checkNumber('namespace identifier', nsid, mostNamespaceId);
    checkNumber('ANA group', anaGroup, mostAnaGroups);
    if (nguid.length !== nguidBytes || nguid.every((byte) => byte === 0)) {
      throw new RangeError(`an NGUID of ${nguid.length} bytes; it has 16, not all of them zero`);
    }
    this.nsid = nsid;
    this.device = device;
    this.nguid = nguid.slice();
    this.anaGroup = anaGroup;
    this.isReadOnly = options.isReadOnly === true;
    this.isWriteThrough = options.isWriteThrough === true;
    const store = options.reservations;
    this.keeper = store === undefined ? null : new ReservationKeeper(store);
    if (store?.saved != null) this.reservations.restore(decodeReservations(store.saved));
    this.blockBytes = checkBlocks(device);
    this.blockShift = Math.log2(this.blockBytes);
    const partBytes = Math.min(largestTransfer, device.limits.maxTransferBytes);
    this.partBlocks = Math.floor(partBytes / this.blockBytes);
    this.knownBlocks = device.blockCount;
  }

  /** @returns whether there is memory; false leaves the slot waiting for `granted` of its queue */
  acquire(slot: TargetSlot, bytes: number, isForced: boolean): boolean {
    const index = classes.findIndex((size) => size >= bytes);
    const size = classes[index]!;
    const hasRoom = isForced || this.heldBytes + size <= budgetBytes;
    const region = hasRoom ? this.takeRegion(index) : null;
    if (region === null) {
      this.starved.push(slot);
      return false;
    }
    slot.region = region;
    slot.memory = region.bytes;
    return true;
  }

  /** A second piece of memory, of the size of the first. @returns whether there is one */
  acquireSecond(slot: TargetSlot): boolean {
    slot.second = this.takeRegion(classes.indexOf(slot.region!.length));
    return slot.second !== null;
  }

  /** Memory of a slot goes back, and who waited for it goes on. */
  giveBack(slot: TargetSlot): void {
    if (slot.region !== null) this.giveRegion(slot.region);
    if (slot.second !== null) this.giveRegion(slot.second);
    slot.region = null;
    slot.second = null;
    slot.forgetMemory();
    // Those that find no memory once more are behind the others then.
    const next = this.starved.first;
    if (next === null || this.heldBytes + largestTransfer > budgetBytes) return;
    const granted = this.starved.shift()!;
    granted.queue.retry(granted);
  }

  /** Queue a filled request for the device; `ended` of the slot's queue follows from `poll`. */
  submit(slot: TargetSlot): void {
    slot.isBusy = true;
    this.inFlight++;
    if (this.waiting.first === null && this.device.canSubmit()) this.device.submit(slot.request);
    else this.waiting.push(slot);
  }

  /** The connection is over: what the device does not know yet, it never will. */
  abandon(queue: TargetQueue): void {
    this.starved.removeOf(queue, (slot) => queue.abandoned(slot));
    this.waiting.removeOf(queue, (slot) => {
      slot.isBusy = false;
      this.inFlight--;
      queue.abandoned(slot);
    });
  }

  /** Let the device work, and tell the queues what has ended. */
  poll(): number {
    this.device.poll();
    let ended = 0;
    for (let slot = this.finished.shift(); slot !== null; slot = this.finished.shift()) {
      slot.isBusy = false;
      this.inFlight--;
      ended++;
      slot.queue.ended(slot);
    }
    while (this.waiting.first !== null && this.device.canSubmit()) {
      this.device.submit(this.waiting.shift()!.request);
    }
    return ended;
  }

  /** Memory goes back to the device; nothing may be in flight. */
  close(): void {
    this.isClosed = true;
    for (const regions of this.free) {
      for (const region of regions) this.device.memory.free(region);
      regions.length = 0;
    }
  }

  /** @returns null when the device has no memory now, or was closed */
  private takeRegion(index: number): DmaRegion | null {
    const size = classes[index]!;
    const region = this.free[index]!.pop() ?? this.allocate(size);
    if (region !== null) this.heldBytes += size;
    return region;
  }

  private allocate(size: number): DmaRegion | null {
    try {
      return this.device.memory.allocate(size);
    } catch (error) {
      if (!(error instanceof UltimaError)) throw error;
      return null;
    }
  }

  private giveRegion(region: DmaRegion): void {
    this.heldBytes -= region.length;
    if (this.isClosed) this.device.memory.free(region);
    else this.free[classes.indexOf(region.length)]!.push(region);
  }
}

/** Saves reservations one after the other: the last one counts. */
class ReservationKeeper {
  readonly canPersist: boolean;
  private readonly store: ReservationStore;
  private turn: Promise<void> = Promise.resolve();

  constructor(store: ReservationStore) {
    this.store = store;
    this.canPersist = store.save !== undefined;
  }

  save(bytes: Uint8Array | null): Promise<void> {
    const saved = this.turn.then(() => this.store.save?.(bytes));
    // Whoever waits hears of a failure; the next one tries anew.
    this.turn = saved.catch(() => {});
    return saved;
  }
}

function checkNumber(what: string, value: number, most: number): void {
  if (Number.isInteger(value) && value >= 1 && value <= most) return;
  throw new RangeError(`a ${what} of ${value}; 1 to ${most} are possible`);
}

function checkBlocks({ blockBytes, limits }: BlockDevice): number {
  const isPower = (blockBytes & (blockBytes - 1)) === 0;
  if (!isPower || blockBytes < leastBlockBytes || blockBytes > mostBlockBytes) {
    throw new UltimaError(
      ErrorCode.deviceUnsupported,
      `a device with blocks of ${blockBytes} bytes cannot be served: NVMe/TCP here needs a power ` +
        `of two, ${leastBlockBytes} to ${mostBlockBytes}; format it without metadata in blocks`,
      { blockBytes },
    );
  }
  if (limits.maxTransferBytes < blockBytes) {
    throw new RangeError(`a device that transfers ${limits.maxTransferBytes} bytes at most`);
  }
  return blockBytes;
}
