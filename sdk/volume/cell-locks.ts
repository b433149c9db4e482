import type { DmaRegion, DmaSpace } from '../device.js';
import { cellBytes } from './format.js';
import type { IoPiece } from './io-piece.js';
import type { Volume } from './volume.js';

/** Cells that can be read, modified and written at one time in a pool. */
const mostLocks = 16;

/**
 * A write of a part of a cell that cannot go in place reads the cell, modifies it and writes it
 * whole. Meanwhile nothing else may change that cell, or it would be undone: the lock waits until
 * no write of the cell is under way, and later changes of it wait for the lock.
 */
export class CellLocks {
  private readonly memory: DmaSpace;
  private readonly holders: IoPiece[] = [];
  private readonly cells: DmaRegion[] = [];
  private made = 0;
  /** Writes under way, in no order. */
  private readonly writing: (IoPiece | null)[] = [];
  private writingCount = 0;
  private readonly reading: (IoPiece | null)[] = [];
  private readingCount = 0;

  constructor(memory: DmaSpace) {
    this.memory = memory;
  }

  /** Give the buffers back. Nothing may be under way. */
  close(): void {
    for (const cell of this.cells.splice(0)) this.memory.free(cell);
  }

  /** A write goes to the device. */
  enter(piece: IoPiece): void {
    piece.writeIndex = this.writingCount;
    this.writing[this.writingCount++] = piece;
  }

  leave(piece: IoPiece): void {
    const last = this.writing[--this.writingCount]!;
    this.writing[piece.writeIndex] = last;
    last.writeIndex = piece.writeIndex;
    this.writing[this.writingCount] = null;
  }

  /** A read of a volume with checks goes to the device. */
  enterRead(piece: IoPiece): void {
    piece.writeIndex = this.readingCount;
    this.reading[this.readingCount++] = piece;
  }

  leaveRead(piece: IoPiece): void {
    const last = this.reading[--this.readingCount]!;
    this.reading[piece.writeIndex] = last;
    last.writeIndex = piece.writeIndex;
    this.reading[this.readingCount] = null;
  }

  /** Cells that the map has given up may still be read; written now, they would fail the check. */
  isReading(extent: number, mask: number, unit: number): boolean {
    for (let i = 0; i < this.readingCount; i++) {
      const piece = this.reading[i]!;
      if (piece.unit === unit && piece.extent === extent && (piece.mask & mask) !== 0) return true;
    }
    return false;
  }

  isWriting(volume: Volume, extent: number, mask: number): boolean {
    for (let i = 0; i < this.writingCount; i++) {
      const piece = this.writing[i]!;
      const isHere = piece.extent === extent && piece.op!.volume === volume;
      if (isHere && (piece.mask & mask) !== 0) return true;
    }
    return false;
  }

  isLocked(volume: Volume, extent: number, mask: number): boolean {
    for (let i = 0; i < this.holders.length; i++) {
      const piece = this.holders[i]!;
      const isHere = piece.extent === extent && piece.op!.volume === volume;
      if (isHere && (piece.mask & mask) !== 0) return true;
    }
    return false;
  }

  /** Whether a cell of whole extents is locked. */
  isLockedIn(volume: Volume, first: number, end: number): boolean {
    for (let i = 0; i < this.holders.length; i++) {
      const piece = this.holders[i]!;
      if (piece.op!.volume === volume && piece.extent >= first && piece.extent < end) return true;
    }
    return false;
  }

  /** @returns false when all locks are taken */
  lock(piece: IoPiece): boolean {
    let cell = this.cells.pop();
    if (cell === undefined) {
      if (this.made === mostLocks) return false;
      this.made++;
      cell = this.memory.allocate(cellBytes);
    }
    piece.cell = cell;
    this.holders.push(piece);
    piece.op!.volume!.lockedCells++;
    return true;
  }

  unlock(piece: IoPiece): void {
    const last = this.holders.pop()!;
    if (last !== piece) this.holders[this.holders.indexOf(piece)] = last;
    piece.op!.volume!.lockedCells--;
    this.cells.push(piece.cell!);
    piece.cell = null;
  }
}
