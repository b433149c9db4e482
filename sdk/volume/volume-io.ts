import { BlockOp, type BlockRequest, BlockStatus, blockFlagFua } from '../block/request.js';
import { Attachments } from './attachments.js';
import { CellLocks } from './cell-locks.js';
import type { PoolCore } from './core.js';
import { allCells, cellBytes, maskOf, RecordKind, unitBytes } from './format.js';
import type { IoOp } from './io-op.js';
import { type IoPiece, PieceWork } from './io-piece.js';
import { IoSpares } from './io-spares.js';
import { PieceIssue } from './piece-issue.js';
import { Ring } from './ring.js';
import { copySegments, fillZeroes } from './segments.js';
import type { Volume } from './volume.js';
import { WriteAim } from './write-aim.js';

/**
 * The data path of all volumes of a pool. A request is cut into pieces that lie in one unit each;
 * what cannot go on for want of a slot, of room in the journal or of space waits in `stalled` and
 * tries again with every poll.
 *
 * What always holds for a write:
 *   - it goes to a unit that is the extent's own: in place where its cells lie there already, with
 *     no metadata at all, else to cells that nothing names;
 *   - the map names the new cells when the data has been written, never before;
 *   - the record of that is in the journal's buffer from the same moment, and becomes durable with
 *     the next commit, after a flush of the data.
 */
export class VolumeIo {
  readonly attachments: Attachments;
  readonly locks: CellLocks;
  private readonly core: PoolCore;
  private readonly issue: PieceIssue;
  private readonly aim: WriteAim;
  private readonly spares = new IoSpares({
    onFinish: (op) => this.finish(op),
    onPieceEnded: (piece) => this.pieceEnded(piece),
  });
  /** Reads that were submitted since the last poll. */
  private readonly fresh = new Ring<IoOp>(64);
  private readonly stalled = new Ring<IoOp>(64);
  private readonly ready = new Ring<IoOp>(64);
  /** Written cells that the map cannot name yet, because a part of it is not in memory. */
  private readonly unnamed = new Ring<IoPiece>(16);
  /** Modified cells that wait for room or space. */
  private readonly modified = new Ring<IoPiece>(16);

  constructor(core: PoolCore) {
    this.core = core;
    this.attachments = new Attachments(core.units);
    this.locks = new CellLocks(core.ports[0]!.device.memory);
    this.issue = new PieceIssue(core, this.locks);
    const { attachments, locks } = this;
    this.aim = new WriteAim({ core, attachments, locks });
  }

  get canSubmit(): boolean {
    return this.spares.hasOp;
  }

  /** No request of a user is under way. */
  get isIdle(): boolean {
    return this.spares.hasAllOps;
  }

  submit(volume: Volume, request: BlockRequest): void {
    const op = this.spares.takeOp();
    op.request = request;
    op.volume = volume;
    op.op = request.op;
    op.isFua = request.flags === blockFlagFua;
    op.start = request.lba * volume.blockBytes;
    op.cursor = op.start;
    op.end = op.start + request.blockCount * volume.blockBytes;
    op.pieces = 0;
    op.status = BlockStatus.ok;
    op.detail = 0;
    op.needsCommit = false;
    op.isChange = false;
    request.submittedNs = volume.clock.nowNs();
    if (volume.isGone) this.endSoon(op, BlockStatus.notExecuted);
    else if (volume.isLocked) this.endSoon(op, BlockStatus.accessDenied);
    else if (request.op === BlockOp.read) this.fresh.push(op);
    else if (request.op === BlockOp.flush) this.flush(op);
    else this.change(op);
  }

  /** Give the buffers back. Nothing may be under way. */
  close(): void {
    this.issue.close();
    this.locks.close();
  }

  /** What waited at the gate of a volume goes on. */
  openGate(volume: Volume): void {
    volume.isGated = false;
    for (let op = volume.gateQueue.shift(); op !== null; op = volume.gateQueue.shift()) {
      if (volume.isGone || volume.isReadOnly) this.endSoon(op, BlockStatus.notExecuted);
      else this.change(op);
    }
  }

  /** Reads wait for the next poll. */
  get hasFresh(): boolean {
    return this.fresh.count > 0;
  }

  /**
   * Called with every poll, before the devices are polled: reads go to them now. What the maps say
   * of all of them is loaded first, because the entries of a large map come from far memory.
   */
  issueReads(): void {
    const { fresh } = this;
    const { count } = fresh;
    const { trees } = this.core;
    if (count > 1) {
      for (let i = 0; i < count; i++) {
        const { volume, cursor } = fresh.at(i);
        const extent = (cursor / unitBytes) | 0;
        trees.touch(volume!.object.root, extent, (cursor - extent * unitBytes) >>> 12);
      }
    }
    for (let i = 0; i < count; i++) {
      const op = fresh.shift()!;
      if (op.volume!.isGone) this.endSoon(op, BlockStatus.notExecuted);
      else this.advance(op);
    }
  }

  /** Called with every poll, after the devices were polled. */
  turn(): void {
    for (let i = this.ready.count; i > 0; i--) this.finish(this.ready.shift()!);
    for (let i = this.unnamed.count; i > 0; i--) this.endWrite(this.unnamed.shift()!);
    for (let i = this.modified.count; i > 0; i--) this.writeModified(this.modified.shift()!);
    for (let i = this.stalled.count; i > 0; i--) this.advance(this.stalled.shift()!);
  }

  /** Everything of the request is done, or has failed. */
  finish(op: IoOp): void {
    const request = op.request!;
    const volume = op.volume!;
    request.status = op.status;
    request.detail = op.detail;
    request.completedNs = volume.clock.nowNs();
    if (op.isChange) volume.changing--;
    op.request = null;
    op.volume = null;
    this.spares.giveOp(op);
    this.core.ended++;
    request.done(request);
  }

  private flush(op: IoOp): void {
    op.cursor = op.end;
    if (op.volume!.isReadOnly) this.endSoon(op, BlockStatus.ok);
    else this.core.committer.join(op);
  }

  private change(op: IoOp): void {
    const volume = op.volume!;
    if (volume.isReadOnly) this.endSoon(op, BlockStatus.accessDenied);
    else if (this.core.isFailed) this.endSoon(op, BlockStatus.deviceError);
    else if (volume.isGated) volume.gateQueue.push(op);
    else {
      op.isChange = true;
      volume.changing++;
      this.advance(op);
    }
  }

  private endSoon(op: IoOp, status: BlockStatus): void {
    op.status = status;
    op.cursor = op.end;
    this.ready.push(op);
  }

  /** Go as far as possible. Never tells the user: that happens in `turn` or when a piece ends. */
  private advance(op: IoOp): void {
    while (op.cursor < op.end) {
      if (this.step(op)) continue;
      if (op.cursor < op.end) {
        this.stalled.push(op);
        return;
      }
    }
    if (op.pieces === 0) this.complete(op);
  }

  private step(op: IoOp): boolean {
    if (op.op === BlockOp.read) return this.readPiece(op);
    if (op.op === BlockOp.write) return this.writePiece(op);
    return this.clearPiece(op);
  }

  /** All pieces have ended. */
  private complete(op: IoOp): void {
    if (this.mustCommit(op) && op.status === BlockStatus.ok) this.core.committer.join(op);
    else this.ready.push(op);
  }

  private readPiece(op: IoOp): boolean {
    const { trees } = this.core;
    const { object } = op.volume!;
    const { cursor } = op;
    const extent = (cursor / unitBytes) | 0;
    const within = cursor - extent * unitBytes;
    const left = op.end - cursor;
    const most = Math.min(left, unitBytes - within);
    let unit = 0;
    let length = most;
    if (trees.locate(object.root, extent)) {
      const first = within >>> 12;
      const last = (within + most - 1) >>> 12;
      unit = trees.unitOf(first);
      for (let cell = first + 1; cell <= last; cell++) {
        if (trees.unitOf(cell) === unit) continue;
        length = cell * cellBytes - within;
        break;
      }
      const absent = unit !== 0 && object.hasChecks ? trees.absentSums(object.root, extent) : 0;
      if (absent !== 0) return this.aim.waitForNode(op, absent);
    } else if (trees.absent !== 0) {
      return this.aim.waitForNode(op, trees.absent);
    }
    if (unit === 0) {
      // In a damaged map nobody knows whether nothing was here.
      if (object.damage !== '') op.status = BlockStatus.integrityError;
      else fillZeroes(op.request!, cursor - op.start, length);
      op.cursor += length;
      return true;
    }
    const piece = this.spares.takePiece();
    if (piece === undefined) return false;
    piece.work = PieceWork.read;
    piece.extent = extent;
    piece.unit = unit;
    return this.send(op, piece, within, length);
  }

  /** Give the piece to its device, if it can take it now. */
  private send(op: IoOp, piece: IoPiece, within: number, length: number): boolean {
    piece.op = op;
    piece.within = within;
    piece.start = op.cursor - op.start;
    piece.length = length;
    if (!this.issue.send(piece)) {
      this.spares.givePiece(piece);
      return false;
    }
    op.pieces++;
    op.cursor += length;
    return true;
  }

  private writePiece(op: IoOp): boolean {
    const { cursor } = op;
    const extent = (cursor / unitBytes) | 0;
    const within = cursor - extent * unitBytes;
    const left = op.end - cursor;
    const most = Math.min(left, unitBytes - within);
    const whole = (within & 4095) === 0 ? most & ~4095 : 0;
    if (whole === 0) return this.partialPiece(op, extent, within);
    const mask = maskOf(within >>> 12, whole >>> 12);
    const volume = op.volume!;
    if (volume.lockedCells > 0 && this.locks.isLocked(volume, extent, mask)) return false;
    const piece = this.spares.takePiece();
    if (piece === undefined) return false;
    piece.op = op;
    piece.work = PieceWork.write;
    piece.extent = extent;
    piece.mask = mask;
    if (!this.aim.aim(op, piece)) {
      this.spares.givePiece(piece);
      return false;
    }
    if (this.send(op, piece, within, whole)) return true;
    this.aim.drop(piece);
    return false;
  }

  /** A part of a cell: in place where it can be, else the cell is read, modified and written. */
  private partialPiece(op: IoOp, extent: number, within: number): boolean {
    const { trees } = this.core;
    const volume = op.volume!;
    const cell = within >>> 12;
    const mask = 1 << cell;
    if (volume.lockedCells > 0 && this.locks.isLocked(volume, extent, mask)) return false;
    const toEnd = (cell + 1) * cellBytes - within;
    const left = op.end - op.cursor;
    const length = Math.min(left, toEnd);
    const absent = trees.absentAt(volume.object.root, extent, volume.object.hasChecks);
    if (absent !== 0) return this.aim.waitForNode(op, absent);
    const piece = this.spares.takePiece();
    if (piece === undefined) return false;
    piece.op = op;
    piece.extent = extent;
    piece.mask = mask;
    piece.attachment = null;
    const isThere = trees.locate(volume.object.root, extent);
    const own = isThere && !volume.object.hasChecks ? trees.ownUnit() : 0;
    if (own !== 0 && op.op === BlockOp.write && trees.lieIn(own, mask)) {
      const { blockBytes } = this.core.portOf(own).device;
      if (within % blockBytes === 0 && length % blockBytes === 0) {
        piece.work = PieceWork.write;
        piece.unit = own;
        return this.send(op, piece, within, length);
      }
    }
    if (this.locks.isWriting(volume, extent, mask) || !this.locks.lock(piece)) {
      this.spares.givePiece(piece);
      return false;
    }
    const old = isThere ? trees.unitOf(cell) : 0;
    piece.within = within;
    piece.start = op.cursor - op.start;
    piece.length = length;
    if (old === 0) {
      piece.cell!.bytes.fill(0);
      this.modify(piece);
    } else {
      piece.work = PieceWork.readToModify;
      piece.unit = old;
      if (!this.issue.send(piece)) {
        this.locks.unlock(piece);
        this.spares.givePiece(piece);
        return false;
      }
    }
    op.pieces++;
    op.cursor += length;
    return true;
  }

  /** The cell's old content is there: put the new part in, and write it. */
  private modify(piece: IoPiece): void {
    const { within, start, length } = piece;
    const bytes = piece.cell!.bytes;
    const at = within & 4095;
    const op = piece.op!;
    if (op.op !== BlockOp.write) bytes.fill(0, at, at + length);
    else copySegments(op.request!, { from: start, length }, bytes, at, false);
    piece.work = PieceWork.writeModified;
    // From `turn`: a request that fails here must not end inside `submit`.
    this.modified.push(piece);
  }

  private writeModified(piece: IoPiece): void {
    const op = piece.op!;
    const { cursor } = op;
    const isAimed = this.aim.aim(op, piece);
    // The rest of the request goes its own way.
    op.cursor = cursor;
    if (isAimed) {
      if (this.issue.send(piece)) return;
      this.aim.drop(piece);
      this.modified.push(piece);
    } else if (op.status === BlockStatus.ok) {
      this.modified.push(piece);
    } else {
      this.locks.unlock(piece);
      this.pieceDone(piece);
    }
  }

  /** Zeroes and discards: whole cells leave the map; parts of cells are written, or left alone. */
  private clearPiece(op: IoOp): boolean {
    const { cursor } = op;
    const volume = op.volume!;
    const extent = (cursor / unitBytes) | 0;
    const within = cursor - extent * unitBytes;
    const left = op.end - cursor;
    if ((within & 4095) !== 0 || left < cellBytes) {
      if (op.op === BlockOp.writeZeroes) return this.partialPiece(op, extent, within);
      op.cursor += Math.min(left, cellBytes - (within & 4095));
      return true;
    }
    const { core } = this;
    const extents = within === 0 ? Math.floor(left / unitBytes) : 0;
    const most = left < unitBytes - within ? left & ~4095 : unitBytes - within;
    const mask = extents > 0 ? allCells : maskOf(within >>> 12, most >>> 12);
    if (volume.lockedCells > 0) {
      const isLocked =
        extents > 0
          ? this.locks.isLockedIn(volume, extent, extent + extents)
          : this.locks.isLocked(volume, extent, mask);
      if (isLocked) return false;
    }
    if (core.isFailed) return this.aim.giveUp(op, BlockStatus.deviceError);
    if (!core.canChangeMaps) return this.aim.waitForSpace(op);
    const { object } = volume;
    const absent =
      extents > 0
        ? core.trees.absentIn(object.root, extent, extents)
        : core.trees.absentAt(object.root, extent, false);
    if (absent !== 0) return this.aim.waitForNode(op, absent);
    if (!core.journal.promise(1)) {
      core.committer.want();
      return false;
    }
    const isChanged =
      extents > 0
        ? core.trees.unmapRange(object, extent, extents)
        : core.trees.unmap(object, extent, mask);
    core.journal.breakPromise(1);
    if (isChanged) {
      const kind = extents > 0 ? RecordKind.unmapRange : RecordKind.unmap;
      core.journal.append(kind, mask, object.id, extent, extents);
    }
    // What an earlier request has taken away may still wait for its commit.
    if (op.isFua) op.needsCommit = true;
    op.cursor += extents > 0 ? extents * unitBytes : most;
    return true;
  }

  /** The device has answered. Runs inside `poll`. */
  private pieceEnded(piece: IoPiece): void {
    const op = piece.op!;
    this.issue.ended(piece);
    const { status, detail } = piece.request;
    if (status !== BlockStatus.ok && op.status === BlockStatus.ok) {
      op.status = status;
      op.detail = detail;
    }
    if (piece.work === PieceWork.readToModify) {
      if (status === BlockStatus.ok) {
        this.modify(piece);
        return;
      }
      this.locks.unlock(piece);
    } else if (piece.work !== PieceWork.read) {
      if (!op.isFua) piece.port!.needsFlush = true;
      this.endWrite(piece);
      return;
    }
    this.pieceDone(piece);
  }

  /** The data is written, or is not going to be: now the map, if what it takes is in memory. */
  private endWrite(piece: IoPiece): void {
    const { core } = this;
    const op = piece.op!;
    const { attachment } = piece;
    if (attachment !== null) {
      const isWritten = piece.request.status === BlockStatus.ok;
      const absent = isWritten ? this.absentFor(piece) : 0;
      if (absent !== 0 && core.pager.want(absent)) {
        this.unnamed.push(piece);
        return;
      }
      core.journal.breakPromise(piece.records);
      if (absent !== 0) {
        this.aim.loseNode(op);
      } else if (isWritten) {
        this.aim.assign(op.volume!.object, piece);
        if (op.isFua) op.needsCommit = true;
      }
      this.attachments.leave(attachment);
      piece.attachment = null;
    }
    this.locks.leave(piece);
    if (piece.work === PieceWork.writeModified) this.locks.unlock(piece);
    this.pieceDone(piece);
  }

  private absentFor({ op, extent }: IoPiece): number {
    const { root, hasChecks } = op!.volume!.object;
    return this.core.trees.absentAt(root, extent, hasChecks);
  }

  /**
   * What is durable on the device is lost all the same while the record that names its place is
   * not: a write with FUA waits for the records of those before it, too.
   */
  private mustCommit(op: IoOp): boolean {
    if (op.needsCommit || !op.isFua) return op.needsCommit;
    const { journal, committer, checkpointer } = this.core;
    return journal.hasRecords || !committer.isIdle || checkpointer.isRunning;
  }

  private pieceDone(piece: IoPiece): void {
    const op = piece.op!;
    piece.op = null;
    this.spares.givePiece(piece);
    if (--op.pieces > 0 || op.cursor < op.end) return;
    if (this.mustCommit(op) && op.status === BlockStatus.ok) this.core.committer.join(op);
    else this.finish(op);
  }
}
