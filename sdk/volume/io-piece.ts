import { BlockRequest } from '../block/request.js';
import type { DmaRegion } from '../device.js';
import type { Attachment } from './attachments.js';
import type { IoOp } from './io-op.js';
import type { Port } from './port.js';

/** What a piece is doing. */
export const PieceWork = { read: 0, write: 1, readToModify: 2, writeModified: 3 } as const;
export type PieceWork = (typeof PieceWork)[keyof typeof PieceWork];

/** A part of a request that lies in one unit, with the device request that carries it. */
export class IoPiece {
  readonly request: BlockRequest;
  op: IoOp | null = null;
  work: PieceWork = PieceWork.read;
  port: Port | null = null;
  extent = 0;
  /** Cells that it writes. */
  mask = 0;
  unit = 0;
  /** Byte of the extent, byte of the request's data, and bytes. */
  within = 0;
  start = 0;
  length = 0;
  /** The unit that the map is going to name, or null for a write in place. */
  attachment: Attachment | null = null;
  round = 0;
  /** Place in the list of writes under way. */
  writeIndex = 0;
  /** Records that the journal has promised room for. */
  records = 0;
  /** CRCs of its cells, for volumes with checks. */
  sums: Uint32Array | null = null;
  /** The cell that is read, modified and written. */
  cell: DmaRegion | null = null;
  /** Memory of the device's own, where it cannot reach the user's. */
  bounce: DmaRegion | null = null;
  bounceSkip = 0;

  constructor(ended: (piece: IoPiece) => void) {
    this.request = new BlockRequest(() => ended(this));
  }
}
