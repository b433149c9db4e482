import { BlockStatus } from '../block/request.js';
import type { Attachment, Attachments } from './attachments.js';
import type { CatalogObject } from './catalog.js';
import type { CellLocks } from './cell-locks.js';
import type { PoolCore } from './core.js';
import { cellCount, RecordKind, sumsRecords } from './format.js';
import type { IoOp } from './io-op.js';
import type { IoPiece } from './io-piece.js';

/**
 * Where a write goes, and what the map says when it is there.
 *
 * Without checks: in place where all cells lie in the extent's own unit, else to free cells of that
 * unit, else to a new one. With checks never in place, because data and CRC cannot change at one
 * instant there: to free cells of an own unit, else to a new one.
 */
export class WriteAim {
  private readonly core: PoolCore;
  private readonly attachments: Attachments;
  private readonly locks: CellLocks;

  constructor(parts: AimParts) {
    this.core = parts.core;
    this.attachments = parts.attachments;
    this.locks = parts.locks;
  }

  /**
   * Choose the unit that the cells are written to. @returns false when that must wait, or has
   * failed: then the request is at its end
   */
  aim(op: IoOp, piece: IoPiece): boolean {
    const { core, attachments } = this;
    const { trees } = core;
    const volume = op.volume!;
    const { extent, mask } = piece;
    piece.attachment = null;
    const isThere = trees.locate(volume.object.root, extent);
    if (!isThere && trees.absent !== 0) return this.waitForNode(op, trees.absent);
    const { hasChecks } = volume.object;
    let attached: Attachment | null = null;
    if (volume.attaching > 0) {
      attached = hasChecks
        ? attachments.findWithout(volume, extent, mask)
        : attachments.find(volume, extent);
      if (attached !== null && hasChecks && isThere && !trees.isFreeOf(attached.unit, mask)) {
        attached = null;
      }
    }
    let unit = attached === null ? 0 : attached.unit;
    if (unit === 0 && isThere) unit = hasChecks ? trees.ownUnitWithout(mask) : trees.ownUnit();
    if (unit !== 0 && isThere && !hasChecks && trees.lieIn(unit, mask)) {
      piece.unit = unit;
      return true;
    }
    if (hasChecks && unit !== 0 && this.locks.isReading(extent, mask, unit)) return false;
    if (core.isFailed) return this.giveUp(op, BlockStatus.deviceError);
    piece.records = hasChecks ? 1 + sumsRecords(cellCount(mask)) : 1;
    if (!core.journal.promise(piece.records)) {
      core.committer.want();
      return false;
    }
    if (attached !== null) {
      attached.writes++;
      piece.attachment = attached;
    } else if (unit !== 0) {
      piece.attachment = attachments.attachOwn(volume, extent, unit);
    } else {
      unit = core.allocateUnit();
      if (unit === 0) {
        core.journal.breakPromise(piece.records);
        return this.waitForSpace(op);
      }
      piece.attachment = attachments.attach(volume, extent, unit);
    }
    piece.attachment.cells |= mask;
    piece.unit = unit;
    return true;
  }

  /** The piece is not sent after all. */
  drop(piece: IoPiece): void {
    if (piece.attachment === null) return;
    this.core.journal.breakPromise(piece.records);
    this.attachments.leave(piece.attachment);
    piece.attachment = null;
  }

  /** @returns false: now, or when no space is on its way, for good */
  waitForSpace(op: IoOp): boolean {
    const { core } = this;
    if (!core.awaitsSpace) return this.giveUp(op, BlockStatus.outOfSpace);
    core.committer.want();
    return false;
  }

  /** @returns false: now, while a part of the map comes to memory, or when it is lost, for good */
  waitForNode(op: IoOp, node: number): false {
    if (this.core.pager.want(node)) return false;
    this.loseNode(op);
    return this.giveUp(op, op.status);
  }

  /** A part of the map that the request needs is lost. */
  loseNode(op: IoOp): void {
    const volume = op.volume!;
    volume.object.damage ||= 'a node of its map is lost';
    volume.isReadOnly = true;
    op.status = BlockStatus.integrityError;
  }

  /** The request is at its end. */
  giveUp(op: IoOp, status: BlockStatus): false {
    op.status = status;
    op.cursor = op.end;
    return false;
  }

  /** The data is there: the map names it, and a record says so. */
  assign(object: CatalogObject, piece: IoPiece): void {
    const { journal, trees } = this.core;
    const { extent, mask, unit, sums } = piece;
    if (object.hasChecks && sums !== null) {
      journal.append(RecordKind.assignChecked, mask, object.id, extent, unit);
      journal.appendSums(sums, cellCount(mask));
      trees.assignChecked(object, extent, piece, sums);
    } else {
      journal.append(RecordKind.assign, mask, object.id, extent, unit);
      trees.assign(object, extent, mask, unit);
    }
  }
}

interface AimParts {
  readonly core: PoolCore;
  readonly attachments: Attachments;
  readonly locks: CellLocks;
}
