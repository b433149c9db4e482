import { BlockOp, BlockRequest, BlockStatus } from '../block/request.js';
import { mostMembers } from './io-parts.js';
import type { MemberPath } from './member-path.js';
import { HeldRange } from './range-locks.js';

export const Stage = { free: 0, waiting: 1, active: 2, held: 3 } as const;
/** An operation of our own: blocks are held against everyone, nothing is sent. */
export const lockOp = 0;

/** One member's part of an operation: a request of its own, made once. */
export interface Leg {
  readonly request: BlockRequest;
  readonly member: number;
  /** Where the request is under way; null while it is not. */
  path: MemberPath | null;
}

/** One request on its way through a mirror, with all that is known of it. Made once, reused. */
export class MirrorOp extends HeldRange {
  request: BlockRequest | null = null;
  op: BlockOp | typeof lockOp = lockOp;
  stage: (typeof Stage)[keyof typeof Stage] = Stage.free;
  /** Masks of members: asked, needed when it began, answered well, answered badly, lost. */
  sent = 0;
  needed = 0;
  good = 0;
  bad = 0;
  lost = 0;
  /** Legs that are under way. */
  pending = 0;
  /** Of the leg that failed last. */
  status: BlockStatus = BlockStatus.ok;
  /** Regions that it writes. */
  firstRegion = 0;
  lastRegion = 0;
  startedNs = 0;
  readonly legs: readonly Leg[];
  /** Of a lock: tells who asked for it. */
  grant: (isGranted: boolean) => void = () => {};

  constructor(onEnded: (op: MirrorOp, leg: Leg) => void) {
    super();
    this.legs = Array.from({ length: mostMembers }, (_, member) => {
      const request = new BlockRequest(() => onEnded(this, leg));
      const leg: Leg = { request, member, path: null };
      return leg;
    });
  }

  /** Whether a part of it, as a write, is under way in a region. */
  isWriting(region: number): boolean {
    const isWrite = this.op !== BlockOp.read && this.op !== BlockOp.flush && this.op !== lockOp;
    return isWrite && this.pending > 0 && this.firstRegion <= region && region <= this.lastRegion;
  }

  /** Begin with another request, or with a lock. */
  begin(op: MirrorOp['op'], request: BlockRequest | null): void {
    this.op = op;
    this.request = request;
    this.sent = 0;
    this.needed = 0;
    this.good = 0;
    this.bad = 0;
    this.lost = 0;
    this.pending = 0;
  }
}
