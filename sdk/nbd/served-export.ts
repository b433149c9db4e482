import type { BlockDevice } from '../block/device.js';
import { BlockStatus } from '../block/request.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { TransmissionFlag } from '../spec/nbd/transmission.js';
import { faultOfError } from './faults.js';
import { contextsOf, type MetadataContext, type NbdMetadata } from './metadata.js';
import { largestPart, Slot, SlotList } from './slot.js';

/** What clients see under a name. */
export interface NbdExport {
  /** 1 to 256 bytes of UTF-8. */
  readonly name: string;
  /** For people who list exports; at most 1,024 bytes. */
  readonly description?: string;
  /** A block size that is a power of two, 512 to 65,536. All clients share it. */
  readonly device: BlockDevice;
  /** Every write is refused; false when left out. */
  readonly isReadOnly?: boolean;
  /**
   * A write is answered when it is durable, as if every one had FUA; false when left out. A client
   * that connects again by itself when the server was killed, and goes on (QEMU, kernels), believes
   * that what was answered is still there: with this it is.
   */
  readonly isWriteThrough?: boolean;
  /**
   * Make the device larger; durable when it returns. With it clients may ask for that, which the
   * protocol has a number for and no finished text (`NbdCommand.resize`). Left out, none may.
   */
  readonly grow?: (bytes: number) => Promise<void>;
  /** What is known about ranges of it; without it all of it counts as allocated. */
  readonly metadata?: NbdMetadata;
}

const longestName = 256;
const longestDescription = 1024;
const leastBlockBytes = 512;
const mostBlockBytes = 65_536;
const encoder = new TextEncoder();

/**
 * An export while it is served: its device, the requests in front of it and those inside. All
 * connections use the one device, so that a flush on any of them covers the writes of all.
 */
export class ServedExport {
  readonly name: string;
  readonly nameBytes: Uint8Array;
  readonly descriptionBytes: Uint8Array;
  readonly device: BlockDevice;
  readonly isReadOnly: boolean;
  readonly isWriteThrough: boolean;
  /** Null where clients cannot have it larger. */
  readonly grow: ((bytes: number) => Promise<void>) | null;
  readonly blockBytes: number;
  /** Largest piece for the device. */
  readonly partBytes: number;
  /** Requests with the device or in front of it. */
  inFlight = 0;
  private readonly metadata: NbdMetadata;
  private readonly waiting = new SlotList();
  private readonly finished = new SlotList();
  private readonly free = new SlotList();
  private readonly finish: (slot: Slot) => void;
  private isClosed = false;

  /** @throws RangeError for a name or block size that cannot be; UltimaError DEVICE_UNSUPPORTED */
  constructor(options: NbdExport) {
    const { name, device } = options;
    this.name = name;
    this.nameBytes = textBytes('name of an export', name, longestName);
    if (this.nameBytes.length === 0) throw new RangeError('the name of an export is empty');
    const description = options.description ?? '';
    this.descriptionBytes = textBytes('description', description, longestDescription);
    this.device = device;
    this.isReadOnly = options.isReadOnly === true;
    this.isWriteThrough = options.isWriteThrough === true;
    this.grow = options.grow ?? null;
    this.blockBytes = checkBlocks(device);
    this.partBytes = Math.min(largestPart, device.limits.maxTransferBytes);
    this.partBytes -= this.partBytes % this.blockBytes;
    this.metadata = options.metadata ?? {};
    this.finish = (slot) => this.finished.push(slot);
  }

  /** As it is now: more than a client was told when it connected, where it has grown since. */
  get bytes(): number {
    return this.device.blockCount * this.device.blockBytes;
  }

  /** What it offers without structured replies [NBD §Transmission flags]. */
  flags(): number {
    const flag = TransmissionFlag;
    const { limits } = this.device;
    let flags = flag.hasFlags | flag.sendFlush | flag.sendFua;
    // One device object serves all connections, and its flush covers all that has completed.
    flags |= flag.canMultiConn | flag.sendCache;
    if (this.isReadOnly) return flags | flag.readOnly;
    if (limits.canDiscard) flags |= flag.sendTrim;
    if (this.grow !== null) flags |= flag.sendResize;
    return flags | flag.sendWriteZeroes | flag.sendFastZero;
  }

  contexts(): MetadataContext[] {
    return contextsOf(this.metadata);
  }

  take(): Slot {
    return this.free.shift() ?? new Slot(this.device.memory, this.finish);
  }

  give(slot: Slot): void {
    slot.owner = null;
    if (this.isClosed) slot.free();
    else this.free.push(slot);
  }

  /** Queue a filled request for the device; `ended` of the slot's owner follows from `poll`. */
  submit(slot: Slot): void {
    slot.isBusy = true;
    this.inFlight++;
    this.waiting.push(slot);
  }

  /** The same for work that is not one request of the device; what goes wrong is its fault. */
  wait(slot: Slot, work: Promise<void>): void {
    slot.isBusy = true;
    this.inFlight++;
    slot.request.status = BlockStatus.ok;
    const end = (): void => this.finished.push(slot);
    work.then(end, (error: unknown) => {
      slot.fault = faultOfError(error);
      end();
    });
  }

  /** Give the device what it takes, let it work, and tell the owners what has ended. */
  poll(): number {
    this.pump();
    this.device.poll();
    let ended = 0;
    for (let slot = this.finished.shift(); slot !== null; slot = this.finished.shift()) {
      slot.isBusy = false;
      this.inFlight--;
      ended++;
      slot.owner!.ended(slot);
    }
    this.pump();
    return ended;
  }

  /** Memory goes back to the device; nothing may be in flight. */
  close(): void {
    this.isClosed = true;
    for (let slot = this.free.shift(); slot !== null; slot = this.free.shift()) slot.free();
  }

  private pump(): void {
    while (!this.waiting.isEmpty && this.device.canSubmit()) {
      this.device.submit(this.waiting.shift()!.request);
    }
  }
}

function textBytes(what: string, text: string, most: number): Uint8Array {
  const bytes = encoder.encode(text);
  if (bytes.length > most || text.includes('\0')) {
    throw new RangeError(
      `the ${what} '${text}' has ${bytes.length} bytes; at most ${most}, no NUL`,
    );
  }
  return bytes;
}

function checkBlocks({ blockBytes, limits }: BlockDevice): number {
  const isPower = (blockBytes & (blockBytes - 1)) === 0;
  if (!isPower || blockBytes < leastBlockBytes || blockBytes > mostBlockBytes) {
    throw new UltimaError(
      ErrorCode.deviceUnsupported,
      `a device with blocks of ${blockBytes} bytes cannot be served: NBD needs a power of two, ` +
        `${leastBlockBytes} to ${mostBlockBytes}; format the namespace without metadata in blocks`,
      { blockBytes },
    );
  }
  if (limits.maxTransferBytes < blockBytes) {
    throw new RangeError(`a device that transfers ${limits.maxTransferBytes} bytes at most`);
  }
  return blockBytes;
}
