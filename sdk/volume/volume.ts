import { checkRequest } from '../block/check.js';
import type { BlockDevice, BlockLimits } from '../block/device.js';
import type { BlockRequest } from '../block/request.js';
import type { Clock, DmaSpace } from '../device.js';
import { ErrorCode, UltimaError } from '../errors.js';
import { GiB } from '../units.js';
import type { CatalogObject } from './catalog.js';
import { keyCheckOf, VolumeCipher } from './cipher.js';
import type { PoolCore } from './core.js';
import { type IoOp, mostOps } from './io-op.js';
import { Ring } from './ring.js';

/**
 * A volume or a snapshot as a block device. Unwritten and discarded blocks read as zeroes. Writes
 * are durable after `flush` or with FUA; before that they are volatile whatever the devices are,
 * because a map in memory names them.
 *
 * A snapshot, a damaged volume and any volume of a pool opened for reading refuse writes with
 * `accessDenied`.
 */
export class Volume implements BlockDevice {
  readonly core: PoolCore;
  readonly object: CatalogObject;
  readonly blockBytes: number;
  readonly limits: BlockLimits;
  readonly clock: Clock;
  readonly memory: DmaSpace;
  isReadOnly: boolean;
  /** How its data is encrypted; null for not at all. */
  readonly cipher: VolumeCipher | null;
  /** Encrypted, and the key that is there is another one. */
  readonly hasWrongKey: boolean;
  /** Encrypted, and its key is not there: every read and write ends with `accessDenied`. */
  readonly isLocked: boolean;
  /** Deleted: every request ends with `notExecuted`. */
  isGone = false;
  /** Changes under way, and changes that wait for the gate. */
  changing = 0;
  isGated = false;
  readonly gateQueue = new Ring<IoOp>(64);
  /** Extents to which a unit is being attached. */
  attaching = 0;
  /** Cells that are being read, modified and written. */
  lockedCells = 0;

  constructor(core: PoolCore, object: CatalogObject) {
    this.core = core;
    this.object = object;
    this.blockBytes = object.blockBytes;
    const { device } = core.ports[0]!;
    this.clock = device.clock;
    this.memory = device.memory;
    const key = object.keyId === '' ? null : core.keyOf(object.keyId);
    this.hasWrongKey =
      key !== null && object.keyCheck !== '' && keyCheckOf(key) !== object.keyCheck;
    const isGood = key !== null && !this.hasWrongKey;
    this.cipher = isGood ? new VolumeCipher(key, object.blockBytes) : null;
    this.isLocked = object.keyId !== '' && !isGood;
    this.isReadOnly = isReadOnly(object);
    this.limits = {
      maxTransferBytes: GiB,
      // Inside a cell a write is as atomic as the device's; across cells it is not at all.
      atomicWriteBlocks: 1,
      maxInFlight: mostOps,
      hasVolatileCache: true,
      canDiscard: true,
      canWriteZeroes: true,
    };
  }

  /** Grows with `Pool.grow`. */
  get blockCount(): number {
    return this.object.bytes / this.blockBytes;
  }

  canSubmit(): boolean {
    return this.core.io.canSubmit;
  }

  submit(request: BlockRequest): void {
    checkRequest(request, this);
    if (!this.core.io.canSubmit) {
      const facts = { limit: mostOps };
      throw new UltimaError(ErrorCode.queueFull, `${mostOps} requests are in flight`, facts);
    }
    this.core.io.submit(this, request);
  }

  poll(): number {
    return this.core.poll();
  }
}

/** By its own nature, whatever the pool is. */
export function isReadOnly({ kind, damage }: CatalogObject): boolean {
  return kind === 'snapshot' || damage !== '';
}

/**
 * With a wrong key everything would read as noise, and what is written be lost.
 *
 * @throws UltimaError VERIFY_FAILED
 */
export function demandItsKey(volume: Volume, name: string): Volume {
  if (!volume.hasWrongKey) return volume;
  const { keyId } = volume.object;
  const message = `the key '${keyId}' is not the one that volume ${name} was made with`;
  throw new UltimaError(ErrorCode.verifyFailed, message, { name, keyId });
}
