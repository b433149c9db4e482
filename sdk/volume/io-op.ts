import { BlockOp, type BlockRequest, BlockStatus } from '../block/request.js';
import type { CommitWaiter } from './committer.js';
import type { Volume } from './volume.js';

/** Requests of users under way in one pool. */
export const mostOps = 512;

/** A user's request under way. */
export class IoOp implements CommitWaiter {
  request: BlockRequest | null = null;
  volume: Volume | null = null;
  op: BlockOp = BlockOp.read;
  isFua = false;
  /** Bytes of the volume: where the request starts, how far it has come, where it ends. */
  start = 0;
  cursor = 0;
  end = 0;
  /** Pieces under way. */
  pieces = 0;
  status: BlockStatus = BlockStatus.ok;
  detail = 0;
  /** It has changed the map and is to be durable when it ends. */
  needsCommit = false;
  isChange = false;
  private readonly finish: (op: IoOp) => void;

  constructor(finish: (op: IoOp) => void) {
    this.finish = finish;
  }

  committed(status: BlockStatus): void {
    if (this.status === BlockStatus.ok) this.status = status;
    this.finish(this);
  }
}
