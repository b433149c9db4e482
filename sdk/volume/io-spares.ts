import { IoOp, mostOps } from './io-op.js';
import { IoPiece } from './io-piece.js';

const mostPieces = 1024;

interface IoEnds {
  readonly onFinish: (op: IoOp) => void;
  readonly onPieceEnded: (piece: IoPiece) => void;
}

/** Requests and pieces of a pool: made when they are first needed, and kept for ever. */
export class IoSpares {
  private readonly ends: IoEnds;
  private readonly ops: IoOp[] = [];
  private readonly pieces: IoPiece[] = [];
  private madeOps = 0;
  private madePieces = 0;

  constructor(ends: IoEnds) {
    this.ends = ends;
  }

  get hasOp(): boolean {
    return this.ops.length > 0 || this.madeOps < mostOps;
  }

  /** No request is under way. */
  get hasAllOps(): boolean {
    return this.ops.length === this.madeOps;
  }

  /** Only when `hasOp`. */
  takeOp(): IoOp {
    const spare = this.ops.pop();
    if (spare !== undefined) return spare;
    this.madeOps++;
    return new IoOp(this.ends.onFinish);
  }

  giveOp(op: IoOp): void {
    this.ops.push(op);
  }

  /** @returns undefined while all are under way */
  takePiece(): IoPiece | undefined {
    const spare = this.pieces.pop();
    if (spare !== undefined || this.madePieces === mostPieces) return spare;
    this.madePieces++;
    return new IoPiece(this.ends.onPieceEnded);
  }

  givePiece(piece: IoPiece): void {
    this.pieces.push(piece);
  }
}
