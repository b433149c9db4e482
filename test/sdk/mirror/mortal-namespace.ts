import type { BlockLimits } from '../../../sdk/block/device.js';
import { BlockRequest, BlockStatus } from '../../../sdk/block/request.js';
import type { DeviceReservations, SharedBlockDevice } from '../../../sdk/block/reservations.js';
import type { Clock, DmaSpace } from '../../../sdk/device.js';
import { ErrorCode, UltimaError } from '../../../sdk/errors.js';

/** A namespace whose host dies after so many steps: of the last one it may not hear the end. */
export class MortalNamespace implements SharedBlockDevice {
  readonly blockBytes: number;
  readonly blockCount: number;
  readonly limits: BlockLimits;
  readonly clock: Clock;
  readonly memory: DmaSpace;
  readonly reservations: DeviceReservations;
  /** Steps that were begun. */
  steps = 0;
  private readonly below: SharedBlockDevice;
  private readonly lifetime: number;
  private readonly isLastDone: boolean;
  private dead: BlockRequest[] = [];

  /** @param isLastDone  the step at which it dies is carried out */
  constructor(below: SharedBlockDevice, lifetime: number, isLastDone: boolean) {
    this.below = below;
    this.lifetime = lifetime;
    this.isLastDone = isLastDone;
    this.blockBytes = below.blockBytes;
    this.blockCount = below.blockCount;
    this.limits = below.limits;
    this.clock = below.clock;
    this.memory = below.memory;
    const { kinds, canPersist } = below.reservations;
    this.reservations = {
      ...{ kinds, canPersist },
      register: (wanted) => this.step(() => below.reservations.register(wanted)),
      acquire: (wanted) => this.step(() => below.reservations.acquire(wanted)),
      release: (wanted) => this.step(() => below.reservations.release(wanted)),
      report: () => this.step(() => below.reservations.report()),
    };
  }

  get isDead(): boolean {
    return this.steps > this.lifetime;
  }

  canSubmit(): boolean {
    return this.below.canSubmit();
  }

  submit(request: BlockRequest): void {
    this.steps++;
    if (!this.isDead) {
      this.below.submit(request);
      return;
    }
    // It lies in memory that its owner frees when it hears of the end.
    if (this.isLast()) this.below.submit(copyOf(request, () => this.dead.push(request)));
    else this.dead.push(request);
  }

  poll(): number {
    const dead = this.dead;
    this.dead = [];
    for (const request of dead) {
      request.status = BlockStatus.unknown;
      request.done(request);
    }
    return dead.length + this.below.poll();
  }

  private async step<T>(work: () => Promise<T>): Promise<T> {
    this.steps++;
    if (!this.isDead) return work();
    if (this.isLast()) await work().catch(() => {});
    throw new UltimaError(ErrorCode.deviceRemoved, 'the host is dead', {});
  }

  private isLast(): boolean {
    return this.isLastDone && this.steps === this.lifetime + 1;
  }
}

function copyOf(request: BlockRequest, done: () => void): BlockRequest {
  const copy = new BlockRequest(done);
  const { op, flags, lba, blockCount } = request;
  Object.assign(copy, { op, flags, lba, blockCount });
  if (request.segmentCount > 0) copy.shareData(request);
  return copy;
}
