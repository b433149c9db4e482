import type { BlockDevice } from '../block/device.js';
import { BlockOp, BlockRequest, type BlockStatus, blockFlagFua } from '../block/request.js';
import type { DmaRegion } from '../device.js';
import type { MemberAssociation } from './port.js';

/** A transfer of the mirror's own: to copy, compare or mend. */
export interface OwnTransfer {
  readonly op: BlockOp;
  readonly lba: number;
  readonly blockCount: number;
  readonly region: DmaRegion | null;
  readonly offset: number;
  /** Somebody waits for it: it does not go with the share of background work. */
  readonly isUrgent: boolean;
}

/** Times as long a transfer may wait for its share of a member, which has not failed then. */
const backgroundPatience = 10;

interface Begun {
  readonly startedNs: number;
  readonly patience: number;
}

/** A connected member as the data path sees it. */
export class MemberPath {
  readonly association: MemberAssociation;
  readonly device: BlockDevice;
  private readonly background: BlockDevice;
  /** Requests that the member has not answered. */
  inFlight = 0;
  isClosed = false;
  /** Own transfers under way. */
  private readonly own = new Map<BlockRequest, Begun>();

  constructor(association: MemberAssociation) {
    this.association = association;
    this.device = association.device;
    this.background = association.background ?? association.device;
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.association.close();
  }

  /** What can be reached by now of a member that grows. */
  get blockCount(): number {
    return Math.min(this.device.blockCount, this.background.blockCount);
  }

  /** Carry out a transfer of the mirror's own; resolves with its status. */
  transfer(own: OwnTransfer): Promise<BlockStatus> {
    const { op, lba, blockCount, region, offset, isUrgent } = own;
    const device = isUrgent ? this.device : this.background;
    return new Promise((resolve) => {
      const request = new BlockRequest(() => {
        this.own.delete(request);
        this.inFlight--;
        resolve(request.status);
      });
      request.op = op;
      request.lba = lba;
      request.blockCount = blockCount;
      if (op === BlockOp.write) request.flags = blockFlagFua;
      if (region !== null) {
        request.setData(region, offset, blockCount * this.device.blockBytes);
      }
      const patience = device === this.device ? 1 : backgroundPatience;
      this.own.set(request, { startedNs: device.clock.nowNs(), patience });
      this.inFlight++;
      device.submit(request);
    });
  }

  poll(): void {
    this.device.poll();
    if (this.background !== this.device) this.background.poll();
  }

  /** Whether a transfer of the mirror's own has been under way for too long. */
  isLate(nowNs: number, limitNs: number): boolean {
    for (const { startedNs, patience } of this.own.values()) {
      if (nowNs - startedNs > limitNs * patience) return true;
    }
    return false;
  }
}
