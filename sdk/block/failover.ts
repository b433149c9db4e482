import { assert } from '../assert.js';
import type { Clock, DmaSpace } from '../device.js';
import { checkRequest } from './check.js';
import type { BlockDevice, BlockLimits } from './device.js';
import { type BlockRequest, BlockStatus } from './request.js';

export interface FailoverOptions {
  /** Buffers for requests; every device behind it must take them. */
  readonly memory: DmaSpace;
  /** Requests in flight or waiting; 256 when left out. */
  readonly requestCount?: number;
}

/**
 * One block device for the user while the device behind it changes: another path, another node.
 * A request that ends because its device was lost (`notExecuted`, `unknown`) is kept, and sent once
 * more when there is another device.
 *
 * Sending a request twice is right because the user has no two requests for the same blocks in
 * flight of which one writes, which no block device puts in order, and because whoever calls
 * `moveTo` has made sure that nothing of the device before can still arrive.
 *
 * Nothing is allocated per request. A request's `done` is replaced while the device has it.
 */
export class FailoverDevice implements BlockDevice {
  readonly blockBytes: number;
  readonly limits: BlockLimits;
  readonly clock: Clock;
  readonly memory: DmaSpace;
  /** Requests that were sent once more. */
  resentCount = 0;
  private device: BlockDevice | null;
  /** Of the last device, when there was one. */
  private knownBlocks: number;
  /** Devices that were left, as long as they have requests. */
  private left: BlockDevice[] = [];
  private inside = 0;
  private isHeld = false;
  private isGivenUp = false;
  private whenQuiet: (() => void)[] = [];
  private readonly requests: (BlockRequest | null)[] = [];
  private readonly dones: ((request: BlockRequest) => void)[] = [];
  private readonly endings: ((request: BlockRequest) => void)[] = [];
  private readonly free: number[] = [];
  /** When each request came: devices set their own times, once for each sending. */
  private readonly startedNs: Float64Array;
  /** Set for a slot whose request may have been carried out where it was lost. */
  private readonly isUnsure: Uint8Array;
  /** Slots that wait for a device, in the order in which they came. */
  private readonly waiting: number[] = [];
  /** Slots that came while the device was held. */
  private readonly held: number[] = [];
  private ended = 0;

  constructor(device: BlockDevice, { memory, requestCount = 256 }: FailoverOptions) {
    this.device = device;
    this.blockBytes = device.blockBytes;
    this.knownBlocks = device.blockCount;
    this.limits = { ...device.limits, maxInFlight: requestCount };
    this.clock = device.clock;
    this.memory = memory;
    this.startedNs = new Float64Array(requestCount);
    this.isUnsure = new Uint8Array(requestCount);
    for (let slot = 0; slot < requestCount; slot++) {
      this.requests.push(null);
      this.dones.push(neverEnds);
      this.endings.push((request) => this.end(slot, request));
      this.free.push(slot);
    }
  }

  /** Grows with the device behind it. */
  get blockCount(): number {
    return this.device?.blockCount ?? this.knownBlocks;
  }

  /** Requests that a device has. */
  get inFlightCount(): number {
    return this.inside;
  }

  /** Requests that wait for a device. */
  get waitingCount(): number {
    return this.waiting.length;
  }

  /** The device is not to be used any more: what comes from now on waits. */
  leave(): void {
    this.knownBlocks = this.blockCount;
    if (this.device !== null && this.inside > 0) this.left.push(this.device);
    this.device = null;
  }

  /** What comes from now on waits. @returns when everything that was under way has ended */
  hold(): Promise<void> {
    this.isHeld = true;
    if (this.inside === 0 && this.waiting.length === 0) return Promise.resolve();
    return new Promise((resolve) => this.whenQuiet.push(resolve));
  }

  /** What has waited goes on. */
  release(): void {
    this.isHeld = false;
    this.waiting.push(...this.held.splice(0));
    this.send();
  }

  /**
   * Go on with another device of the same size, or a larger one.
   *
   * @throws RangeError for one that is smaller, or has other blocks
   */
  moveTo(device: BlockDevice): void {
    const { blockBytes, blockCount } = device;
    if (blockBytes !== this.blockBytes || blockCount < this.blockCount) {
      throw new RangeError(
        `a device of ${blockCount} blocks of ${blockBytes} bytes; the one before had ` +
          `${this.blockCount} of ${this.blockBytes}`,
      );
    }
    this.leave();
    this.device = device;
  }

  /** There is no other device: what waits ends as it did where it was, at the next `poll`. */
  giveUp(): void {
    this.leave();
    this.isGivenUp = true;
    this.isHeld = false;
    this.waiting.push(...this.held.splice(0));
  }

  canSubmit(): boolean {
    return this.free.length > 0;
  }

  submit(request: BlockRequest): void {
    checkRequest(request, this);
    assert(this.free.length > 0, 'more requests than canSubmit allows');
    const slot = this.free.pop()!;
    this.requests[slot] = request;
    this.dones[slot] = request.done;
    request.done = this.endings[slot]!;
    this.startedNs[slot] = this.clock.nowNs();
    this.isUnsure[slot] = 0;
    request.status = BlockStatus.notExecuted;
    if (this.isHeld) {
      this.held.push(slot);
      return;
    }
    this.waiting.push(slot);
    this.send();
  }

  private send(): void {
    const { device, waiting } = this;
    if (device === null) return;
    let sent = 0;
    while (sent < waiting.length && device.canSubmit()) {
      device.submit(this.requests[waiting[sent]!]!);
      this.inside += 1;
      sent += 1;
    }
    if (sent === 0) return;
    waiting.copyWithin(0, sent);
    waiting.length -= sent;
  }

  private end(slot: number, request: BlockRequest): void {
    this.inside -= 1;
    if (this.inside === 0) this.left = [];
    if (request.status === BlockStatus.notExecuted || request.status === BlockStatus.unknown) {
      if (request.status === BlockStatus.unknown) this.isUnsure[slot] = 1;
      this.resentCount += 1;
      this.waiting.push(slot);
      return;
    }
    this.finish(slot, request);
  }

  private finish(slot: number, request: BlockRequest): void {
    request.done = this.dones[slot]!;
    request.submittedNs = this.startedNs[slot]!;
    this.requests[slot] = null;
    this.free.push(slot);
    this.ended += 1;
    request.done(request);
    if (this.whenQuiet.length === 0 || this.inside > 0 || this.waiting.length > 0) return;
    for (const resolve of this.whenQuiet.splice(0)) resolve();
  }

  /** Drives devices that were left, too, until they have given back what they had. */
  poll(): number {
    const before = this.ended;
    for (const device of this.left) device.poll();
    this.device?.poll();
    this.send();
    if (this.isGivenUp) {
      for (const slot of this.waiting.splice(0)) {
        const request = this.requests[slot]!;
        if (this.isUnsure[slot] === 1) request.status = BlockStatus.unknown;
        this.finish(slot, request);
      }
    }
    return this.ended - before;
  }
}

function neverEnds(): void {
  assert(false, 'a request ends that the device does not have');
}
