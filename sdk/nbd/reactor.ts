import type { Clock } from '../device.js';
import { msNs, usNs } from '../units.js';
import type { ServedExport } from './served-export.js';

/** Devices are looked at for so long before sockets have their turn. */
const sliceMs = 0.1;
/** What a device may let pass at once while requests are under way. */
const idleNs = msNs;
/** Looks after what devices do on their own, and pauses between them. */
const restingLooks = 32;
const restingStepNs = 100 * usNs;
const firstRestMs = 1;
const longestRestMs = 1000;

/**
 * The loop of a thread that serves devices at sockets. While requests are under way it looks at the
 * devices in slices and lets the event loop see to the sockets between them; a clock that only
 * moves when it is asked to (a simulated card) is moved to the next thing that can be seen. When
 * nothing is under way it sleeps: sockets wake it. What devices do on their own (a pool writes its
 * metadata, frees space) goes on at pauses that grow to a second.
 */
export class NbdReactor {
  private readonly exports: readonly ServedExport[];
  private readonly clocks: readonly Clock[];
  private readonly turnAll: () => void;
  private readonly runSlice: () => void;
  private readonly runRest: () => void;
  private immediate: NodeJS.Immediate | null = null;
  private timer: NodeJS.Timeout | null = null;
  private restMs = firstRestMs;
  private isClosed = false;

  /** @param turnAll  connections may have something to send, or room to receive */
  constructor(exports: readonly ServedExport[], turnAll: () => void) {
    this.exports = exports;
    this.clocks = [...new Set(exports.map(({ device }) => device.clock))];
    this.turnAll = turnAll;
    this.runSlice = () => this.slice();
    this.runRest = () => this.rest();
  }

  /** Something arrived. */
  wake(): void {
    if (this.immediate !== null || this.isClosed) return;
    this.restMs = firstRestMs;
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.immediate = setImmediate(this.runSlice);
  }

  close(): void {
    this.isClosed = true;
    if (this.immediate !== null) clearImmediate(this.immediate);
    if (this.timer !== null) clearTimeout(this.timer);
  }

  private get isBusy(): boolean {
    for (const served of this.exports) if (served.inFlight > 0) return true;
    return false;
  }

  private slice(): void {
    this.immediate = null;
    const endMs = performance.now() + sliceMs;
    do {
      let ended = 0;
      for (const served of this.exports) if (served.inFlight > 0) ended += served.poll();
      if (ended > 0) this.turnAll();
      else this.idle(idleNs);
    } while (this.isBusy && performance.now() < endMs);
    if (this.isClosed) return;
    if (this.isBusy) this.immediate = setImmediate(this.runSlice);
    else this.sleep();
  }

  private idle(ns: number): void {
    for (const clock of this.clocks) clock.idle(clock.nowNs() + ns);
  }

  private sleep(): void {
    this.timer ??= setTimeout(this.runRest, this.restMs);
    this.restMs = Math.min(2 * this.restMs, longestRestMs);
  }

  private rest(): void {
    this.timer = null;
    for (let i = 0; i < restingLooks; i++) {
      for (const { device } of this.exports) device.poll();
      this.idle(restingStepNs);
    }
    this.sleep();
  }
}
