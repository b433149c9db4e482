import type { Clock, DmaRegion, DmaSpace } from '../device.js';
import type { BlockRequest } from './request.js';

/** What a block device accepts and promises. Sizes in bytes unless they say blocks. */
export interface BlockLimits {
  /** Largest read or write of one request. */
  readonly maxTransferBytes: number;
  /** A write of at most this many blocks is never torn by a power cut; 1 at least. */
  readonly atomicWriteBlocks: number;
  /** Requests in flight that the device takes before `canSubmit` turns false. */
  readonly maxInFlight: number;
  /** Completed writes may be lost, reordered or torn at a power cut until a flush. */
  readonly hasVolatileCache: boolean;
  readonly canDiscard: boolean;
  readonly canWriteZeroes: boolean;
  /**
   * Every block carries a checksum that each read compares; a block that is not as it was written
   * ends the read with `integrityError`. False when left out.
   */
  readonly hasProtection?: boolean;
}

/**
 * Waist 2: a block device. A namespace, a remote namespace, a volume, a mirror and a QoS gate are
 * all block devices over block devices.
 *
 * Durability is what flush and FUA say, nothing more: everything above must be correct over a
 * volatile cache that reorders and tears writes at the atomic write unit.
 */
export interface BlockDevice {
  readonly blockBytes: number;
  readonly blockCount: number;
  readonly limits: BlockLimits;
  readonly clock: Clock;
  /** Where data buffers for this device come from. */
  readonly memory: DmaSpace;
  /** Whether one more request fits now. */
  canSubmit(): boolean;
  /**
   * Start a request. Never throws for a reason that lies with the device: that ends the request
   * with
   * a status. `request.done` runs from `poll`, never from inside `submit`.
   *
   * @throws RangeError for blocks beyond the end, an empty or oversized transfer or segments that
   *   do
   *   not sum up; TypeError for freed or foreign memory. Nothing has changed then. Memory that was
   *   lost, because its function was closed, ends the request as `notExecuted`.
   */
  submit(request: BlockRequest): void;
  /** Ring what was submitted, run `done` of everything that ended. @returns how many ended. */
  poll(): number;
}

export type { DmaRegion };

/** A block device of another node, whose connection can be lost. */
export interface LinkedBlockDevice extends BlockDevice {
  readonly isLost: boolean;
  /** What was under way ends as `unknown`. */
  lose(): void;
}
