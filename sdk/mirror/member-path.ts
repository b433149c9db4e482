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
}

/** A connected member as the data path sees it. */
export class MemberPath {
  readonly association: MemberAssociation;
  readonly device: BlockDevice;
  /** Requests that the member has not answered. */
  inFlight = 0;
  isClosed = false;
  /** Own transfers under way, with the time when each began. */
  private readonly own = new Map<BlockRequest, number>();

  constructor(association: MemberAssociation) {
    this.association = association;
    this.device = association.device;
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.association.close();
  }

  /** Carry out a transfer of the mirror's own; resolves with its status. */
  transfer({ op, lba, blockCount, region, offset }: OwnTransfer): Promise<BlockStatus> {
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
      this.own.set(request, this.device.clock.nowNs());
      this.inFlight++;
      this.device.submit(request);
    });
  }

  /** Whether a transfer of the mirror's own has been under way since before a time. */
  isLate(sinceNs: number): boolean {
    for (const startedNs of this.own.values()) if (startedNs < sinceNs) return true;
    return false;
  }
}
