import type { HostLink } from '../pcie/endpoint.js';
import type { World } from '../world.js';
import type { InterruptCoalescing } from './executor.js';
import type { FirmwareTiming } from './firmware-timing.js';

/**
 * When the vector of a completion queue fires. Without coalescing: at each entry. With it: at the
 * threshold, or when the time since the first waiting entry is over [NVMe-2.0 §5.27.1.6]. The
 * admin queue never waits. Vectors 0..31 obey the mask of INTMS and INTMC: a masked one fires when
 * its mask is cleared, once.
 */
export class InterruptSource {
  private readonly world: World;
  private readonly link: HostLink;
  private readonly firmware: FirmwareTiming;
  private readonly onTimer: number;
  private readonly onSend: number;
  /** Counts resets: a message of before one is not sent. */
  private epoch = 0;
  private threshold = 1;
  private timeNs = 0;
  private readonly isExempt: Uint8Array;
  /** Entries since the vector last fired. */
  private readonly waiting: Int32Array;
  /** When the oldest of them must be announced. */
  private readonly deadlines: Float64Array;
  /** Timer events of a vector in the world's queue. */
  private readonly timers: Uint8Array;
  private maskBits = 0;
  private heldBits = 0;

  constructor(world: World, link: HostLink, firmware: FirmwareTiming) {
    this.world = world;
    this.link = link;
    this.firmware = firmware;
    this.onSend = world.register((argument) => this.send(argument));
    this.onTimer = world.register((vector) => this.timeOver(vector));
    this.isExempt = new Uint8Array(link.vectorCount);
    this.waiting = new Int32Array(link.vectorCount);
    this.deadlines = new Float64Array(link.vectorCount);
    this.timers = new Uint8Array(link.vectorCount);
  }

  /** Controller reset: nothing waits, nothing is masked, features are at their defaults. */
  reset(): void {
    this.epoch = (this.epoch + 1) % epochs;
    this.threshold = 1;
    this.timeNs = 0;
    this.isExempt.fill(0);
    this.waiting.fill(0);
    this.maskBits = 0;
    this.heldBits = 0;
  }

  set(coalescing: InterruptCoalescing): void {
    this.threshold = coalescing.threshold;
    this.timeNs = coalescing.timeNs;
  }

  setExempt(vector: number, isExempt: boolean): void {
    this.isExempt[vector] = isExempt ? 1 : 0;
  }

  /** Bits of vectors 0..31 that are masked: what INTMS and INTMC read. */
  get mask(): number {
    return this.maskBits >>> 0;
  }

  setMask(bits: number): void {
    this.maskBits |= bits;
  }

  clearMask(bits: number): void {
    this.maskBits &= ~bits;
    const due = this.heldBits & bits;
    this.heldBits &= ~bits;
    for (let vector = 0; vector < maskedVectors; vector++) {
      if ((due >>> vector) & 1) this.link.raise(vector);
    }
  }

  /** An entry is in host memory. @returns whether its interrupt was sent now */
  announce(vector: number, isAdmin: boolean): boolean {
    if (isAdmin || this.timeNs === 0 || this.isExempt[vector] === 1) {
      this.fire(vector);
      return true;
    }
    const count = this.waiting[vector]! + 1;
    if (count >= this.threshold) {
      this.fire(vector);
      return true;
    }
    this.waiting[vector] = count;
    if (count === 1) this.startTimer(vector);
    return false;
  }

  private startTimer(vector: number): void {
    this.deadlines[vector] = this.world.nowNs + this.timeNs;
    if (this.timers[vector] === 1) return;
    this.timers[vector] = 1;
    this.world.schedule(this.timeNs, this.onTimer, vector);
  }

  /** One timer per vector: when it finds a later deadline it goes on to that one. */
  private timeOver(vector: number): void {
    this.timers[vector] = 0;
    if (this.waiting[vector] === 0) return;
    const leftNs = this.deadlines[vector]! - this.world.nowNs;
    if (leftNs <= 0) {
      this.fire(vector);
      return;
    }
    this.timers[vector] = 1;
    this.world.schedule(leftNs, this.onTimer, vector);
  }

  private fire(vector: number): void {
    this.waiting[vector] = 0;
    if (vector < maskedVectors && (this.maskBits >>> vector) & 1) {
      this.heldBits |= 1 << vector;
      return;
    }
    const waitNs = this.firmware.interrupt(this.world);
    if (waitNs === 0) this.link.raise(vector);
    else this.world.schedule(waitNs, this.onSend, this.epoch * vectorLimit + vector);
  }

  private send(argument: number): void {
    const vector = argument % vectorLimit;
    if (Math.floor(argument / vectorLimit) === this.epoch) this.link.raise(vector);
  }
}

/** Vector numbers of MSI-X, and resets that are told apart: both fit in a positive argument. */
const vectorLimit = 2048;
const epochs = 2 ** 20;

/** INTMS has a bit for each of so many vectors. */
const maskedVectors = 32;
