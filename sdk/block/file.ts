import {
  closeSync,
  constants,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  writeSync,
} from 'node:fs';
import type { Clock } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import type { BlockDevice, BlockLimits } from './device.js';
import { FileLock } from './file-lock.js';
import { MemorySpace } from './memory.js';
import { BlockOp, type BlockRequest, BlockStatus, blockFlagFua } from './request.js';
import { sizeOf } from './system-device.js';

export interface FileDeviceOptions {
  readonly path: string;
  readonly clock: Clock;
  /** 512 when left out. */
  readonly blockBytes?: number;
  /** Make a new file of this size, a multiple of the block size; an existing one when left out. */
  readonly createBytes?: number;
}

const zeroBytes = 1024 * 1024;
const mostInFlight = 256;

/**
 * A file, or a block device of the operating system, as a block device. Requests are carried out
 * one after the other inside `poll`, which waits for the system: for tools, not for speed. Its
 * cache is the system's page cache; flush and FUA are `fdatasync`.
 */
export class FileDevice implements BlockDevice {
  readonly blockBytes: number;
  /** When it was opened, or `measure` was called. */
  blockCount: number;
  readonly limits: BlockLimits;
  readonly clock: Clock;
  readonly memory = new MemorySpace();
  private readonly fd: number;
  private lock: FileLock | null = null;
  private waiting: BlockRequest[] = [];

  /**
   * Open a file that no other process writes to, and keep others from it.
   *
   * @param options.isReadOnly  others may open it, too, until one writes; false when left out
   * @throws UltimaError DEVICE_BUSY while another process writes to it, or the system uses a block
   *                     device otherwise: a mount, swap, a volume group; as the constructor
   */
  static async open(
    options: FileDeviceOptions & { readonly isReadOnly?: boolean },
  ): Promise<FileDevice> {
    const { path, isReadOnly } = options;
    if (isReadOnly === true) await FileLock.demandFree(path);
    const device = new FileDevice(options, isReadOnly !== true);
    try {
      if (isReadOnly !== true) device.lock = await FileLock.take(path);
      return device;
    } catch (error) {
      device.close();
      throw error;
    }
  }

  /** Without a lock. @throws UltimaError FILE_INVALID, FILE_UNWRITABLE */
  constructor(options: FileDeviceOptions, isClaimed = false) {
    const { path, createBytes } = options;
    this.blockBytes = options.blockBytes ?? 512;
    this.clock = options.clock;
    this.fd = openFile(path, createBytes, isClaimed);
    const bytes = createBytes ?? sizeOf(fstatSync(this.fd));
    this.blockCount = Math.floor(bytes / this.blockBytes);
    if (this.blockCount < 1) {
      closeSync(this.fd);
      const facts = { path, bytes };
      throw new UltimaError(ErrorCode.fileInvalid, `${path} has ${bytes} bytes, no block`, facts);
    }
    this.limits = {
      maxTransferBytes: 64 * 1024 * 1024,
      atomicWriteBlocks: 1,
      maxInFlight: mostInFlight,
      hasVolatileCache: true,
      canDiscard: false,
      canWriteZeroes: true,
    };
  }

  /** Look again how large it is. What has become smaller fails where it is missing. */
  measure(): void {
    const now = Math.floor(sizeOf(fstatSync(this.fd)) / this.blockBytes);
    this.blockCount = Math.max(this.blockCount, now);
  }

  canSubmit(): boolean {
    return this.waiting.length < mostInFlight;
  }

  submit(request: BlockRequest): void {
    const { op, lba, blockCount } = request;
    if (op !== BlockOp.flush && !(lba >= 0 && blockCount >= 1 && this.holds(lba, blockCount))) {
      throw new RangeError(`blocks ${lba} + ${blockCount} of a file of ${this.blockCount}`);
    }
    request.detail = 0;
    request.submittedNs = this.clock.nowNs();
    this.waiting.push(request);
  }

  poll(): number {
    const due = this.waiting;
    this.waiting = [];
    for (const request of due) {
      request.status = this.carryOut(request);
      request.completedNs = this.clock.nowNs();
      request.done(request);
    }
    return due.length;
  }

  close(): void {
    closeSync(this.fd);
    this.lock?.release();
  }

  private holds(lba: number, blockCount: number): boolean {
    return Number.isSafeInteger(lba + blockCount) && lba + blockCount <= this.blockCount;
  }

  private carryOut(request: BlockRequest): BlockStatus {
    try {
      if (request.op === BlockOp.discard) return BlockStatus.invalidRequest;
      if (request.op === BlockOp.read || request.op === BlockOp.write) this.move(request);
      if (request.op === BlockOp.writeZeroes) this.zero(request);
      if (request.op === BlockOp.flush || request.flags === blockFlagFua) fdatasyncSync(this.fd);
      return BlockStatus.ok;
    } catch {
      return request.op === BlockOp.flush ? BlockStatus.deviceError : BlockStatus.mediaError;
    }
  }

  private move(request: BlockRequest): void {
    let at = request.lba * this.blockBytes;
    for (let i = 0; i < request.segmentCount; i++) {
      const { bytes } = request.regions[i]!;
      const end = request.offsets[i]! + request.lengths[i]!;
      for (let from = request.offsets[i]!; from < end; ) {
        const moved =
          request.op === BlockOp.read
            ? readSync(this.fd, bytes, from, end - from, at)
            : writeSync(this.fd, bytes, from, end - from, at);
        if (moved === 0) throw new Error('the file has become shorter');
        from += moved;
        at += moved;
      }
    }
  }

  private zero(request: BlockRequest): void {
    const end = (request.lba + request.blockCount) * this.blockBytes;
    const zeroes = new Uint8Array(Math.min(zeroBytes, request.blockCount * this.blockBytes));
    for (let at = request.lba * this.blockBytes; at < end; ) {
      at += writeSync(this.fd, zeroes, 0, Math.min(zeroes.length, end - at), at);
    }
  }
}

function openFile(path: string, createBytes: number | undefined, isClaimed: boolean): number {
  try {
    if (createBytes === undefined) {
      // Without O_CREAT it is for block devices only: nothing mounts one that is open so. [open(2)]
      return openSync(path, constants.O_RDWR | (isClaimed ? constants.O_EXCL : 0));
    }
    const fd = openSync(path, 'wx+');
    ftruncateSync(fd, createBytes);
    return fd;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EBUSY') {
      const message = `${path} is in use, by a mount or another process; give it free first`;
      throw new UltimaError(ErrorCode.deviceBusy, message, { path }, error);
    }
    const reason = error instanceof Error ? error.message : String(error);
    const code = createBytes === undefined ? ErrorCode.fileInvalid : ErrorCode.fileUnwritable;
    throw new UltimaError(code, `${path}: ${reason}`, { path }, error);
  }
}
