import type { BlockLimits } from '../block/device.js';
import { BlockOp, type BlockRequest } from '../block/request.js';
import type { SharedBlockDevice } from '../block/reservations.js';
import type { Clock, DmaSpace } from '../device.js';
import { MediaStatus, statusKind } from '../spec/nvme/status.js';
import { GiB, smallInteger } from '../units.js';
import type { CommandResult } from './admin-queue.js';
import { BlockQueue, blockBytesOf } from './block-queue.js';
import { blockStatusOf } from './block-status.js';
import type { Limits } from './core.js';
import { fuse, IoCommands } from './io-commands.js';
import {
  type Data,
  type IoOptions,
  ioError,
  stage,
  type TransferOptions,
  unstage,
} from './io-options.js';
import type { NamespaceFormat } from './namespace-format.js';
import {
  type BlockRange,
  compareCommand,
  copyCommand,
  type DeallocateRange,
  deallocateCommand,
  ranged,
  transferCommand,
  verifyCommand,
} from './nvm-commands.js';
import type { Settings } from './options.js';
import { PromisedIo } from './promised-io.js';
import type { QueuePair } from './queue-pair.js';
import { Reservations } from './reservations.js';
import type { PieceLimits } from './split.js';
import { SlotEnd } from './submission-queue.js';

/** What a namespace needs from its controller. */
export interface NamespaceKeeper {
  readonly limits: Limits;
  readonly settings: Pick<Settings, 'sgl'>;
  /** Ask the controller to abort a command of a queue of ours; whether it did shows there. */
  abort(queueId: number, commandId: number): void;
}

/** Largest read or write of one request; larger than a command's, because requests are split. */
const maxRequestBytes = GiB;

/** NLB is 16 bits wide and counts from 1. */
const mostBlocksOfCommand = 65536;

/** A range of Dataset Management has a 32-bit length. */
const mostBlocksOfRange = 0xffff_ffff;

/**
 * A namespace on one queue pair. The data path is `submit` and `poll` of `BlockDevice`; the
 * methods that return promises sit on top and are polled for as long as somebody waits.
 */
export class Namespace implements SharedBlockDevice {
  readonly nsid: number;
  readonly format: NamespaceFormat;
  readonly blockBytes: number;
  readonly blockCount: number;
  readonly limits: BlockLimits;
  readonly clock: Clock;
  readonly memory: DmaSpace;
  readonly queuePair: QueuePair;
  /** Reservation commands [NVMe-2.0 §8.19 Reservations]. */
  readonly reservations: Reservations;
  private readonly blocks: BlockQueue;
  private readonly promised: PromisedIo;
  private readonly commands: IoCommands;

  constructor(parts: NamespaceParts) {
    const { pair, format, controller } = parts;
    const { limits } = controller;
    this.nsid = format.nsid;
    this.format = format;
    this.blockBytes = blockBytesOf(format);
    this.blockCount = format.blockCount;
    this.clock = pair.clock;
    this.memory = pair.data.region.space;
    this.queuePair = pair;
    const sgl = limits.canUseSgl ? controller.settings.sgl : 'never';
    this.blocks = new BlockQueue({
      pair,
      format,
      limits: pieceLimits(format, controller),
      sgl,
      canDiscard: limits.canDeallocate,
      canZero: limits.canWriteZeroes,
    });
    const abortSlot = (queueId: number, commandId: number): void => {
      controller.abort(queueId, commandId);
    };
    this.promised = new PromisedIo({ blocks: this.blocks, pair, abortSlot });
    this.commands = new IoCommands({ pair, sgl, abortSlot });
    this.reservations = new Reservations(format, this.commands);
    this.limits = {
      maxTransferBytes: maxRequestBytes,
      atomicWriteBlocks: format.atomicWriteBlocks,
      maxInFlight: this.blocks.maxInFlight,
      hasVolatileCache: limits.hasVolatileCache,
      canDiscard: limits.canDeallocate,
      canWriteZeroes: limits.canWriteZeroes,
      // Every read has the controller check the guard.
      hasProtection: format.protectionType !== 0,
    };
  }

  canSubmit(): boolean {
    return this.blocks.canSubmit();
  }

  submit(request: BlockRequest): void {
    this.blocks.submit(request);
  }

  poll(): number {
    return this.blocks.poll();
  }

  /**
   * Read blocks; as many as the buffer holds.
   *
   * @throws UltimaError COMMAND_FAILED with the status, COMMAND_ABORTED, COMMAND_TIMEOUT,
   *   DEVICE_REMOVED, each with the outcome; RangeError or TypeError for blocks or memory that
   *   cannot be
   */
  read(lba: number, data: Data, options: TransferOptions = {}): Promise<void> {
    return this.transfer(BlockOp.read, { lba, data, options });
  }

  /** Write blocks; as many as the buffer holds. @throws as `read` */
  write(lba: number, data: Data, options: TransferOptions = {}): Promise<void> {
    return this.transfer(BlockOp.write, { lba, data, options });
  }

  /** Make durable what has completed. */
  flush(options: IoOptions = {}): Promise<void> {
    return this.dataless(BlockOp.flush, { lba: 0, blockCount: 0 }, options);
  }

  writeZeroes(range: BlockRange, options: TransferOptions = {}): Promise<void> {
    return this.dataless(BlockOp.writeZeroes, range, options);
  }

  /** Deallocate one range of any length. */
  discard(range: BlockRange, options: IoOptions = {}): Promise<void> {
    return this.dataless(BlockOp.discard, range, options);
  }

  /** Deallocate up to 256 ranges in one command. */
  async deallocate(ranges: readonly DeallocateRange[], options: IoOptions = {}): Promise<void> {
    const { words, list } = deallocateCommand(this.nsid, ranges);
    await this.withList(words, list, options);
  }

  /** @returns whether the blocks hold this data */
  async compare(lba: number, data: Data, options: TransferOptions = {}): Promise<boolean> {
    const staged = stage(data, this.memory, 'write');
    try {
      const blockCount = this.blocksOf(staged.slices);
      const words = compareCommand(this.format, { lba, blockCount }, options);
      const [result] = await this.commands.run([this.with(words, staged.slices, options)], options);
      return this.isEqual(result!, lba);
    } finally {
      unstage(staged, this.memory, false);
    }
  }

  /**
   * Write blocks if they hold what is expected, as one operation that nothing comes between
   * [NVM-1.0 §? Compare and Write].
   *
   * @returns whether they did, and the write happened
   */
  async compareAndWrite(
    lba: number,
    data: { readonly expected: Data; readonly next: Data },
    options: TransferOptions = {},
  ): Promise<boolean> {
    const expected = stage(data.expected, this.memory, 'write');
    const next = stage(data.next, this.memory, 'write');
    try {
      const range = { lba, blockCount: this.blocksOf(next.slices) };
      const compare = compareCommand(this.format, range, options);
      const write = transferCommand(this.format, { ...range, isWrite: true }, options);
      fuse(compare, write);
      const pair = [
        this.with(compare, expected.slices, options),
        this.with(write, next.slices, options),
      ];
      const [first, second] = await this.commands.run(pair, options);
      if (!this.isEqual(first!, lba)) return false;
      this.demandSuccess('fused write', second!);
      return true;
    } finally {
      unstage(expected, this.memory, false);
      unstage(next, this.memory, false);
    }
  }

  /** Have the controller read blocks and check them, without a transfer. */
  async verify(range: BlockRange, options: TransferOptions = {}): Promise<void> {
    const words = verifyCommand(this.format, range, options);
    const [result] = await this.commands.run([{ words }], options);
    this.demandSuccess('verify', result!);
  }

  /** Mark blocks so that reading them fails, until they are written. */
  async writeUncorrectable(range: BlockRange, options: IoOptions = {}): Promise<void> {
    const words = ranged('writeUncorrectable', this.format, range);
    const [result] = await this.commands.run([{ words }], options);
    this.demandSuccess('write uncorrectable', result!);
  }

  /** Copy ranges to a place of the same namespace, inside the controller. */
  async copy(
    sources: readonly BlockRange[],
    targetLba: number,
    options: TransferOptions = {},
  ): Promise<void> {
    const { words, list } = copyCommand(this.format, { sources, targetLba }, options);
    await this.withList(words, list, options);
  }

  /** Any command: 16 dwords with the data pointer and identifier filled in here. */
  async raw(
    words: Uint32Array,
    data: Data | null = null,
    options: TransferOptions = {},
  ): Promise<CommandResult> {
    const staged = data === null ? null : stage(data, this.memory, 'write');
    try {
      const command = staged === null ? { words } : this.with(words, staged.slices, options);
      const [result] = await this.commands.run([command], options);
      return result!;
    } finally {
      if (staged !== null) unstage(staged, this.memory, true);
    }
  }

  /** Give back memory of the namespace's own; `close` of the controller does it for all. */
  close(): void {
    this.promised.close();
    this.blocks.close();
  }

  private transfer(op: BlockOp, wanted: Transfer): Promise<void> {
    const { lba, data, options } = wanted;
    const isPlain =
      options.protection === undefined &&
      options.metadata === undefined &&
      options.isLimitedRetry !== true &&
      options.stream === undefined;
    if (!isPlain) return this.special(op === BlockOp.write, wanted);
    const bytes = bytesOf(data);
    const blockCount = bytes / this.blockBytes;
    if (!isWhole(blockCount)) return Promise.reject(notBlocks(bytes, this.blockBytes));
    const isFua = options.isFua === true;
    return this.promised.run({ op, lba, blockCount, isFua, data, options });
  }

  /** Reads and writes with what a block request cannot say: one command each. */
  private async special(isWrite: boolean, wanted: Transfer): Promise<void> {
    const { lba, options } = wanted;
    const staged = stage(wanted.data, this.memory, isWrite ? 'write' : 'read');
    let isRead = false;
    try {
      const bytes = bytesOf(staged.slices);
      const blockCount = bytes / this.transferBytes(options);
      if (!isWhole(blockCount)) throw notBlocks(bytes, this.transferBytes(options));
      const words = transferCommand(this.format, { lba, blockCount, isWrite }, options);
      const [result] = await this.commands.run([this.with(words, staged.slices, options)], options);
      this.demandSuccess(isWrite ? 'write' : 'read', result!);
      isRead = !isWrite;
    } finally {
      unstage(staged, this.memory, isRead);
    }
  }

  /** Bytes of a block in the buffer: an extended format carries metadata unless it is stripped. */
  private transferBytes(options: TransferOptions): number {
    const { dataBytes, metadataBytes, isExtended } = this.format;
    if (!isExtended) return dataBytes;
    const isStripped = options.protection?.action === true && metadataBytes === 8;
    return isStripped ? dataBytes : dataBytes + metadataBytes;
  }

  private dataless(op: BlockOp, range: BlockRange, options: TransferOptions): Promise<void> {
    const { lba, blockCount } = range;
    const isFua = options.isFua === true;
    return this.promised.run({ op, lba, blockCount, isFua, data: null, options });
  }

  private async withList(words: Uint32Array, list: Uint32Array, options: IoOptions): Promise<void> {
    const region = this.memory.allocate(list.length * 4);
    try {
      region.words.set(list);
      const data = [{ region, offset: 0, length: list.length * 4 }];
      const [result] = await this.commands.run([{ words, data }], options);
      this.demandSuccess('command with a range list', result!);
    } finally {
      this.memory.free(region);
    }
  }

  private with(words: Uint32Array, data: Slices, options: TransferOptions) {
    const { metadata } = options;
    return metadata === undefined ? { words, data } : { words, data, metadata };
  }

  private blocksOf(data: Slices): number {
    const bytes = bytesOf(data);
    const blockCount = bytes / this.blockBytes;
    if (!isWhole(blockCount)) throw notBlocks(bytes, this.blockBytes);
    return blockCount;
  }

  private isEqual(result: CommandResult, lba: number): boolean {
    if (statusKind(result.status) === MediaStatus.compareFailure) return false;
    this.demandSuccess(`compare of blocks at ${lba}`, result);
    return true;
  }

  private demandSuccess(what: string, result: CommandResult): void {
    if (result.status === 0) return;
    const status = blockStatusOf(SlotEnd.completed, result.status);
    throw ioError(what, { status, detail: result.status, cause: 'none' });
  }
}

interface Transfer {
  readonly lba: number;
  readonly data: Data;
  readonly options: TransferOptions;
}

type Slices = Extract<Data, readonly unknown[]>;

export interface NamespaceParts {
  readonly pair: QueuePair;
  readonly format: NamespaceFormat;
  readonly controller: NamespaceKeeper;
}

function isWhole(blockCount: number): boolean {
  return blockCount >= 1 && Math.floor(blockCount) === blockCount;
}

function notBlocks(bytes: number, blockBytes: number): RangeError {
  return new RangeError(
    `${bytes} bytes of data; it must be whole blocks of ${blockBytes} bytes, at least one`,
  );
}

function bytesOf(data: Data): number {
  if (!Array.isArray(data)) return 'length' in data ? data.length : 0;
  let sum = 0;
  for (const slice of data) sum += slice.length;
  return sum;
}

function pieceLimits(format: NamespaceFormat, controller: NamespaceKeeper): PieceLimits {
  const { limits } = controller;
  const blockBytes = blockBytesOf(format);
  const byTransfer = Math.floor(limits.maxTransferBytes / blockBytes);
  const byZeroes =
    limits.zeroBytes === 0 ? mostBlocksOfCommand : limits.zeroBytes / format.dataBytes;
  const byRange = limits.deallocateBlocks === 0 ? mostBlocksOfRange : limits.deallocateBlocks;
  return {
    transferBlocks: smallInteger(Math.max(1, Math.min(mostBlocksOfCommand, byTransfer))),
    zeroBlocks: Math.max(1, Math.min(mostBlocksOfCommand, Math.floor(byZeroes))),
    discardBlocks: byRange,
    boundaryBlocks: format.boundaryBlocks,
  };
}
