import { MigrationState as State } from '../../sdk/spec/vfio-user/feature.js';
import { Errno } from '../../sdk/spec/vfio-user/header.js';
import { GiB } from '../../sdk/units.js';

/** Longest state that is taken: what a peer writes is kept until it is complete. */
const mostStateBytes = GiB;
const noBytes = new Uint8Array(0);

/** The device under a migration. */
export interface Movable {
  /** Whether its state can be saved. */
  readonly canMove: boolean;
  /** It looks at no doorbell, moves no data and sends no interrupt any more. */
  stop(): void;
  /** It goes on where it stopped. */
  go(): void;
  save(): Uint8Array;
  /** Become the device of these bytes, stopped. @returns false for what is no state */
  load(state: Uint8Array): boolean;
}

/**
 * Where a device is on its way to another server [vfio-user §VFIO_USER_DEVICE_FEATURE]:
 *
 *   running <-> stop -> stopCopy -> stop       the state is read
 *               stop -> resuming -> stop       the state is written, and becomes the device
 *
 * Ways that lead through `stop` are taken in one step. The memory of the peer is no part of the
 * state: the new server is given the same. A state that is none leaves the device in `error`, from
 * which a reset leads back.
 */
export class Migration {
  private readonly device: Movable;
  private now: number = State.running;
  private outgoing: Uint8Array = noBytes;
  private incoming: Uint8Array[] = [];
  private incomingBytes = 0;

  constructor(device: Movable) {
    this.device = device;
  }

  get isPossible(): boolean {
    return this.device.canMove;
  }

  get state(): number {
    return this.now;
  }

  /** @returns 0 or a UNIX error number */
  goTo(state: number): number {
    if (!known.has(state) || this.now === State.error) return Errno.EINVAL;
    if (state === this.now) return 0;
    if (!this.stop()) return Errno.EINVAL;
    if (state === State.running) this.device.go();
    if (state === State.stopCopy) this.outgoing = this.device.save();
    this.now = state;
    return 0;
  }

  /** The next bytes of the state, none at its end. @returns null when there is nothing to read */
  read(most: number): Uint8Array | null {
    if (this.now !== State.stopCopy) return null;
    const bytes = this.outgoing.subarray(0, most);
    this.outgoing = this.outgoing.subarray(bytes.length);
    return bytes;
  }

  /** @returns 0 or a UNIX error number */
  write(bytes: Uint8Array): number {
    if (this.now !== State.resuming) return Errno.EINVAL;
    if (this.incomingBytes + bytes.length > mostStateBytes) return Errno.ENOSPC;
    this.incoming.push(bytes.slice());
    this.incomingBytes += bytes.length;
    return 0;
  }

  /** The device was reset, or its client is gone. */
  reset(): void {
    if (this.now !== State.running) this.device.go();
    this.now = State.running;
    this.forget();
  }

  /** From wherever it is. @returns false when what was written is no state */
  private stop(): boolean {
    const before = this.now;
    if (before === State.running) this.device.stop();
    this.now = State.stop;
    if (before === State.resuming && !this.device.load(this.takeIncoming())) {
      this.now = State.error;
      return false;
    }
    this.forget();
    return true;
  }

  private takeIncoming(): Uint8Array {
    const all = new Uint8Array(this.incomingBytes);
    let at = 0;
    for (const bytes of this.incoming) {
      all.set(bytes, at);
      at += bytes.length;
    }
    this.forget();
    return all;
  }

  private forget(): void {
    this.outgoing = noBytes;
    this.incoming = [];
    this.incomingBytes = 0;
  }
}

const known: ReadonlySet<number> = new Set([
  State.running,
  State.stop,
  State.stopCopy,
  State.resuming,
]);
