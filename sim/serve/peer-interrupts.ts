import { Errno } from '../../sdk/spec/vfio-user/header.js';
import { Irq, irqCount } from '../../sdk/spec/vfio-user/interrupt.js';
import type { ServeSystem } from './peer.js';

/** What a client asks to be done with a range of vectors. */
export interface IrqRequest {
  readonly index: number;
  readonly start: number;
  readonly count: number;
  readonly action: 'mask' | 'unmask' | 'trigger';
  /** Which of the range, one byte each; null: all of it. */
  readonly booleans: Uint8Array | null;
  /** Descriptors to connect, in order, one per vector, or none to disconnect; null: act now. */
  readonly eventfds: readonly number[] | null;
}

const none = -1;

/** One interrupt of a kind: who is told, and whether it waits for an unmask. */
class Vector {
  trigger = none;
  /** Told when the vector is masked, and when it is unmasked. */
  mask = none;
  unmask = none;
  isMasked = false;
  /** The device has fired it, and nobody has masked or unmasked it since. */
  isRetractable = false;
  /** Fired while masked. */
  isPending = false;
}

/**
 * Interrupts as a client wires them: a descriptor per vector, mask and unmask, and firing from
 * outside. A masked vector remembers that it fired, and fires once when it is unmasked. INTx masks
 * itself when it fires, and fires again on unmask while the device asserts it.
 *
 * While MSI-X has no descriptor the device signals through INTx.
 */
export class PeerInterrupts {
  /** Signals sent. */
  firedCount = 0;
  /** Interrupt Disable of the function: INTx is silent [PCIe-4.0 §7.5.1.1.3 Command]. */
  isPinDisabled: () => boolean = () => false;
  /** Whether the device asserts INTx now: a level, so that it fires again when it is unmasked. */
  isPinAsserted: () => boolean = () => false;
  private readonly system: ServeSystem;
  private readonly kinds: readonly (readonly Vector[])[];
  /** Connected MSI-X vectors. */
  private connected = 0;

  constructor(system: ServeSystem, msixVectors: number) {
    this.system = system;
    const counts = new Map<number, number>([
      [Irq.intx, 1],
      [Irq.msix, msixVectors],
      [Irq.error, 1],
      [Irq.request, 1],
    ]);
    this.kinds = Array.from({ length: irqCount }, (_, index) =>
      Array.from({ length: counts.get(index) ?? 0 }, () => new Vector()),
    );
  }

  countOf(index: number): number {
    return this.kinds[index]?.length ?? 0;
  }

  get isMsixConnected(): boolean {
    return this.connected > 0;
  }

  /** The device signals a vector. */
  interrupt(vector: number): void {
    if (this.connected > 0) {
      const target = this.kinds[Irq.msix]![vector];
      if (target !== undefined) this.fire(target, false);
      return;
    }
    if (this.isPinDisabled() || !this.isPinAsserted()) return;
    const pin = this.kinds[Irq.intx]![0]!;
    const isFirst = !pin.isMasked;
    this.fire(pin, true);
    pin.isRetractable ||= isFirst && pin.isMasked;
  }

  /**
   * The host has moved a head, so the device may not assert INTx any more. A signal that the client
   * has not seen yet is taken back: it would raise a line that no access to a register lowers
   * again, because its host has done all that there was to do. QEMU without KVM is such a client.
   */
  settlePin(): void {
    const pin = this.kinds[Irq.intx]![0]!;
    if (!pin.isRetractable || this.isPinAsserted()) return;
    if (this.system.retract(pin.trigger)) this.clearMask(pin, true);
  }

  /** The device asks to be given up: it is about to go, or is gone. */
  requestRelease(): void {
    this.fire(this.kinds[Irq.request]![0]!, false);
  }

  /**
   * Do what a client asks. Descriptors in the request belong to this object when the answer is 0.
   *
   * @returns 0 or a UNIX error number; then nothing has changed
   */
  apply(request: IrqRequest): number {
    const { index, start, count, eventfds } = request;
    const vectors = this.kinds[index];
    if (vectors === undefined || start + count > vectors.length) return Errno.EINVAL;
    if (count === 0) return this.turnOff(request, vectors);
    const isAct = eventfds === null;
    if (isAct && request.action === 'trigger' && vectors.every(isDisconnected)) {
      return Errno.EINVAL;
    }
    if (!isAct && eventfds.length !== count && eventfds.length !== 0) return Errno.EINVAL;
    if (!isAct && !eventfds.every((fd) => this.system.isEventfd(fd))) return Errno.EBADF;
    for (let i = 0; i < count; i++) {
      const vector = vectors[start + i]!;
      if (!isAct) this.connect(vector, request.action, eventfds[i] ?? none);
      else if (request.booleans === null || request.booleans[i] !== 0) {
        this.act(vector, request.action, index === Irq.intx);
      }
    }
    this.count();
    return 0;
  }

  /** The client is gone: nothing of it is told any more. */
  disconnectAll(): void {
    for (const vector of this.kinds.flat()) this.clear(vector);
    this.count();
  }

  /** A count of 0 turns a kind off, and only without data. */
  private turnOff(request: IrqRequest, vectors: readonly Vector[]): number {
    const isOff = request.start === 0 && request.booleans === null && request.eventfds === null;
    if (!isOff || request.action !== 'trigger') return Errno.EINVAL;
    for (const vector of vectors) this.clear(vector);
    this.count();
    return 0;
  }

  private act(vector: Vector, action: IrqRequest['action'], isPin: boolean): void {
    if (action === 'trigger') this.fire(vector, isPin);
    else if (action === 'mask') this.setMask(vector);
    else this.clearMask(vector, isPin);
  }

  private fire(vector: Vector, isPin: boolean): void {
    if (vector.isMasked) {
      vector.isPending = true;
      return;
    }
    if (vector.trigger === none) return;
    this.firedCount++;
    this.system.signal(vector.trigger);
    if (isPin) this.setMask(vector);
  }

  private setMask(vector: Vector): void {
    vector.isRetractable = false;
    if (vector.isMasked) return;
    vector.isMasked = true;
    if (vector.mask !== none) this.system.signal(vector.mask);
  }

  private clearMask(vector: Vector, isPin: boolean): void {
    if (!vector.isMasked) return;
    vector.isMasked = false;
    vector.isRetractable = false;
    if (vector.unmask !== none) this.system.signal(vector.unmask);
    const isDue = isPin ? this.isPinAsserted() && !this.isPinDisabled() : vector.isPending;
    vector.isPending = false;
    if (!isDue) return;
    this.fire(vector, isPin);
    vector.isRetractable = isPin && vector.isMasked;
  }

  private connect(vector: Vector, action: IrqRequest['action'], fd: number): void {
    if (vector[action] !== none) this.system.closeDescriptor(vector[action]);
    vector[action] = fd;
  }

  private clear(vector: Vector): void {
    this.connect(vector, 'trigger', none);
    this.connect(vector, 'mask', none);
    this.connect(vector, 'unmask', none);
    vector.isMasked = false;
    vector.isRetractable = false;
    vector.isPending = false;
  }

  private count(): void {
    this.connected = 0;
    for (const vector of this.kinds[Irq.msix]!) if (!isDisconnected(vector)) this.connected++;
  }
}

function isDisconnected(vector: Vector): boolean {
  return vector.trigger === none;
}
