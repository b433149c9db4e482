import { BlockOp, BlockStatus, blockFlagFua } from '../block/request.js';
import { sliceSegments } from '../block/slice.js';
import { crc32cOfWords } from '../crc32c.js';
import type { DmaRegion } from '../device.js';
import type { CellLocks } from './cell-locks.js';
import type { VolumeCipher } from './cipher.js';
import type { PoolCore } from './core.js';
import { cellBytes, cellsPerUnit, maskOf, unitBytes } from './format.js';
import { type IoPiece, PieceWork } from './io-piece.js';
import { nodeWords } from './nodes.js';
import type { Port } from './port.js';
import { copySegments } from './segments.js';

/** Buffers of a device that cannot reach the pool's memory, or has larger blocks than a volume. */
const mostBounces = 32;

/**
 * Gives pieces to devices. The user's memory is that of the pool's first device; data of another
 * device goes through memory of its own, as does a read of a part of a device's block.
 */
export class PieceIssue {
  private readonly core: PoolCore;
  private readonly locks: CellLocks;
  private readonly bounces: DmaRegion[][] = [];
  private readonly madeBounces: number[] = [];

  constructor(core: PoolCore, locks: CellLocks) {
    this.core = core;
    this.locks = locks;
  }

  /** @returns false when the piece must wait for a buffer */
  send(piece: IoPiece): boolean {
    const { core } = this;
    const { request, work, unit } = piece;
    const port = core.portOf(unit);
    const isModify = isWholeCell(piece);
    const within = isModify ? piece.within & ~(cellBytes - 1) : piece.within;
    const length = isModify ? cellBytes : piece.length;
    const isRead = work === PieceWork.read || work === PieceWork.readToModify;
    const { blockBytes, memory } = port.device;
    const { cipher, object } = piece.op!.volume!;
    const isForeign =
      memory !== core.ports[0]!.device.memory || cipher !== null || object.hasChecks;
    const isAligned = ((within | length) & (blockBytes - 1)) === 0;
    piece.port = port;
    const at = port.byteOf(unit);
    if (isForeign || !isAligned) {
      if (!this.sendBounced(piece, at, within, length)) return false;
    } else {
      port.aim(request, at + within, length);
      if (isModify) request.setData(piece.cell!, 0, cellBytes);
      else sliceSegments(piece.op!.request!, piece.start, length, request);
    }
    request.op = isRead ? BlockOp.read : BlockOp.write;
    request.flags = !isRead && piece.op!.isFua ? blockFlagFua : 0;
    const { units } = core;
    piece.round = units.round;
    units.inFlight[units.round]!++;
    if (!isRead) this.locks.enter(piece);
    port.submit(request);
    return true;
  }

  /** The device has answered: copy what it read, give the buffer back. A write stays entered. */
  ended(piece: IoPiece): void {
    this.core.units.inFlight[piece.round]!--;
    const { work, bounce } = piece;
    const isRead = work === PieceWork.read || work === PieceWork.readToModify;
    if (bounce === null) return;
    if (isRead) {
      const from = piece.bounceSkip;
      if (piece.op!.volume!.object.hasChecks) this.compare(piece, bounce);
      this.cipherOf(piece)?.decrypt(
        bounce.bytes.subarray(from, from + lengthOf(piece)),
        blockOf(piece),
      );
      if (work === PieceWork.readToModify) {
        piece.cell!.bytes.set(bounce.bytes.subarray(from, from + cellBytes));
      } else {
        const part = { from: piece.start, length: piece.length };
        copySegments(piece.op!.request!, part, bounce.bytes, from, true);
      }
    }
    this.bounces[piece.port!.index]!.push(bounce);
    piece.bounce = null;
  }

  /** Give the buffers back. Nothing may be under way. */
  close(): void {
    for (const region of this.bounces.flat()) region.space.free(region);
    this.bounces.length = 0;
  }

  private sendBounced(piece: IoPiece, at: number, within: number, length: number): boolean {
    const port = piece.port!;
    const bounce = this.takeBounce(port);
    if (bounce === null) return false;
    const { hasChecks } = piece.op!.volume!.object;
    // A CRC is that of a whole cell.
    const grain = hasChecks ? cellBytes : port.device.blockBytes;
    const first = within - (within % grain);
    const end = Math.ceil((within + length) / grain) * grain;
    piece.bounce = bounce;
    piece.bounceSkip = within - first;
    port.aim(piece.request, at + first, end - first);
    piece.request.setData(bounce, 0, end - first);
    if (piece.work === PieceWork.write) {
      const part = { from: piece.start, length };
      copySegments(piece.op!.request!, part, bounce.bytes, 0, false);
    } else if (piece.work === PieceWork.writeModified) {
      bounce.bytes.set(piece.cell!.bytes);
    }
    if (piece.work === PieceWork.write || piece.work === PieceWork.writeModified) {
      this.cipherOf(piece)?.encrypt(bounce.bytes.subarray(0, length), blockOf(piece));
      if (hasChecks) computeSums(piece, bounce, length / cellBytes);
    } else if (hasChecks) {
      this.expectSums(piece, first, end);
    }
    return true;
  }

  /** Remember what the map says now: later it may name other cells. */
  private expectSums(piece: IoPiece, first: number, end: number): void {
    const { object } = piece.op!.volume!;
    const count = (end - first) / cellBytes;
    const cell = first / cellBytes;
    piece.sums ??= new Uint32Array(cellsPerUnit);
    piece.mask = maskOf(cell, count);
    this.core.trees.readSums(object.root, piece.extent, cell, piece.sums, count);
    this.locks.enterRead(piece);
  }

  private compare(piece: IoPiece, bounce: DmaRegion): void {
    this.locks.leaveRead(piece);
    const { request, sums } = piece;
    const cells = (request.blockCount * piece.port!.device.blockBytes) / cellBytes;
    if (request.status !== BlockStatus.ok) return;
    for (let i = 0; i < cells; i++) {
      const from = i * nodeWords;
      if (crc32cOfWords(bounce.words, from, from + nodeWords) === sums![i]) continue;
      request.status = BlockStatus.integrityError;
      return;
    }
  }

  private cipherOf(piece: IoPiece): VolumeCipher | null {
    return piece.op!.volume!.cipher;
  }

  private takeBounce(port: Port): DmaRegion | null {
    const { index } = port;
    this.bounces[index] ??= [];
    const spare = this.bounces[index].pop();
    if (spare !== undefined) return spare;
    const made = this.madeBounces[index] ?? 0;
    if (made === mostBounces) return null;
    this.madeBounces[index] = made + 1;
    return port.device.memory.allocate(unitBytes);
  }
}

/** Whole cells are read and written where a part of one is modified. */
function isWholeCell({ work }: IoPiece): boolean {
  return work === PieceWork.readToModify || work === PieceWork.writeModified;
}

function lengthOf(piece: IoPiece): number {
  return isWholeCell(piece) ? cellBytes : piece.length;
}

/** Number of the first block of the volume that the piece moves. */
function blockOf(piece: IoPiece): number {
  const { object } = piece.op!.volume!;
  const within = isWholeCell(piece) ? piece.within & ~(cellBytes - 1) : piece.within;
  return (piece.extent * unitBytes + within) / object.blockBytes;
}

function computeSums(piece: IoPiece, bounce: DmaRegion, cells: number): void {
  piece.sums ??= new Uint32Array(cellsPerUnit);
  for (let i = 0; i < cells; i++) {
    const from = i * nodeWords;
    piece.sums[i] = crc32cOfWords(bounce.words, from, from + nodeWords);
  }
}
