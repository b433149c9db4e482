import type { BlockDevice } from '../block/device.js';
import { BlockOp, BlockRequest, BlockStatus } from '../block/request.js';
import { sliceSegments } from '../block/slice.js';

/**
 * Large reads and writes that go to the device piece by piece, so that others can come in between.
 * What always holds:
 *
 *   a request ends once, when no piece of it is under way and none will follow
 *   after a piece has failed no other piece of its request is handed over
 *   a request whose status is `notExecuted` has had no piece that was executed
 *
 * Nothing is allocated after construction. Requests are slots of whoever holds them.
 */
export class Pieces {
  private readonly device: BlockDevice;
  private readonly pieceBlocks: number;
  /** Told of each piece that ended, and whether its request has ended with it. */
  private readonly onEnd: (slot: number, isOver: boolean) => void;
  private readonly requests: (BlockRequest | null)[];
  /**
   * Of each request: blocks handed over, pieces under way, whether one has ended, and whether there
   * will be no more.
   */
  private readonly issuedBlocks: Float64Array;
  private readonly underWay: Uint32Array;
  private readonly hasEnded: Uint8Array;
  private readonly isClosed: Uint8Array;
  private readonly free: BlockRequest[] = [];
  private freeCount = 0;

  /** @throws RangeError for pieces that would tear what the device keeps whole */
  constructor(
    device: BlockDevice,
    options: { readonly pieceBytes: number; readonly requestCount: number },
    onEnd: (slot: number, isOver: boolean) => void,
  ) {
    const { pieceBytes, requestCount } = options;
    const least = device.blockBytes * device.limits.atomicWriteBlocks;
    if (!(pieceBytes >= least && pieceBytes % device.blockBytes === 0)) {
      throw new RangeError(
        `pieceBytes is ${pieceBytes}: whole blocks of ${device.blockBytes} bytes, and at least ` +
          `the ${least} bytes that the device writes as a whole`,
      );
    }
    this.device = device;
    this.onEnd = onEnd;
    this.pieceBlocks = pieceBytes / device.blockBytes;
    this.requests = new Array<BlockRequest | null>(requestCount).fill(null);
    this.issuedBlocks = new Float64Array(requestCount);
    this.underWay = new Uint32Array(requestCount);
    this.hasEnded = new Uint8Array(requestCount);
    this.isClosed = new Uint8Array(requestCount);
    const pieceCount = Math.min(requestCount, device.limits.maxInFlight);
    for (let i = 0; i < pieceCount; i++) {
      this.free.push(new BlockRequest((piece) => this.ended(piece)));
      this.freeCount++;
    }
  }

  /** Whether a piece can be handed over now. */
  get hasRoom(): boolean {
    return this.freeCount > 0;
  }

  /** @returns 1 for what goes as a whole */
  countOf(request: BlockRequest): number {
    const { op } = request;
    if (op !== BlockOp.read && op !== BlockOp.write) return 1;
    return Math.ceil(request.blockCount / this.pieceBlocks);
  }

  /** A request that has more than one piece begins to wait. */
  begin(slot: number, request: BlockRequest): void {
    this.requests[slot] = request;
    this.issuedBlocks[slot] = 0;
    this.underWay[slot] = 0;
    this.hasEnded[slot] = 0;
    this.isClosed[slot] = 0;
    request.status = BlockStatus.ok;
    request.detail = 0;
  }

  has(slot: number): boolean {
    return this.requests[slot] !== null;
  }

  /** Hand over the next piece of a request. */
  issue(slot: number): void {
    const request = this.requests[slot]!;
    const from = this.issuedBlocks[slot]!;
    const count = Math.min(this.pieceBlocks, request.blockCount - from);
    const piece = this.free[--this.freeCount]!;
    const { blockBytes } = this.device;
    piece.op = request.op;
    piece.flags = request.flags;
    piece.lba = request.lba + from;
    piece.blockCount = count;
    piece.tag = slot;
    sliceSegments(request, from * blockBytes, count * blockBytes, piece);
    if (from === 0) request.submittedNs = this.device.clock.nowNs();
    this.issuedBlocks[slot] = from + count;
    this.underWay[slot]!++;
    if (from + count === request.blockCount) this.isClosed[slot] = 1;
    try {
      this.device.submit(piece);
    } catch (error) {
      // Its memory was freed while it waited: its owner hears of it as of any other failure.
      if (!(error instanceof TypeError)) throw error;
      piece.status = BlockStatus.notExecuted;
      piece.detail = 0;
      this.ended(piece);
    }
  }

  private ended(piece: BlockRequest): void {
    const slot = piece.tag;
    const request = this.requests[slot]!;
    this.free[this.freeCount++] = piece;
    this.underWay[slot]!--;
    if (piece.status !== BlockStatus.ok) this.isClosed[slot] = 1;
    // Before the first one there is no outcome, which is another thing than a success.
    const isFirst = this.hasEnded[slot] === 0;
    this.hasEnded[slot] = 1;
    const status = isFirst ? piece.status : worse(request.status, piece.status);
    if (status === piece.status) request.detail = piece.detail;
    request.status = status;
    request.completedNs = piece.completedNs;
    const isOver = this.isClosed[slot] === 1 && this.underWay[slot] === 0;
    if (isOver) this.requests[slot] = null;
    this.onEnd(slot, isOver);
  }
}

/** What two pieces of one request are together. */
function worse(one: BlockStatus, other: BlockStatus): BlockStatus {
  const { ok, notExecuted, unknown } = BlockStatus;
  if (one === other) return one;
  if (one === unknown || other === unknown) return unknown;
  // A part has happened and a part has not.
  if (one === notExecuted) return other === ok ? unknown : other;
  if (other === notExecuted) return one === ok ? unknown : one;
  return one === ok ? other : one;
}
