import type { Clock } from '../device.js';
import { msNs, usNs } from '../units.js';
import type { ServedNamespace } from './served-namespace.js';
import type { FabricSockets } from './stream.js';
import type { TargetQueue } from './target-queue.js';

/** Devices and sockets are looked at for so long before the event loop has its turn. */
const sliceMs = 0.2;
/** What a device may let pass at once while commands are under way. */
const idleNs = msNs;
/** Polled sockets are looked at for so long after the last that came, before the loop sleeps. */
const lingerMs = 0.5;
const restingLooks = 32;
const restingStepNs = 100 * usNs;
const firstRestMs = 1;
const longestRestMs = 1000;

/**
 * The loop of a thread that serves namespaces. While commands are under way it looks at the
 * devices, and at the sockets where they are polled, in slices; between them the event loop has its
 * turn. When nothing is under way it sleeps, and sockets wake it. What devices do on their own goes
 * on at pauses that grow to a second.
 */
export class FabricReactor {
  private namespaces: readonly ServedNamespace[] = [];
  private clocks: readonly Clock[] = [];
  private readonly sockets: FabricSockets;
  private readonly dirty: TargetQueue[] = [];
  private readonly resting: () => void;
  private readonly runSlice: () => void;
  private readonly runRest: () => void;
  private readonly onReadable: () => void;
  private immediate: NodeJS.Immediate | null = null;
  private timer: NodeJS.Timeout | null = null;
  private restMs = firstRestMs;
  private isWatching = false;
  private isClosed = false;

  /** @param resting  called now and then while nothing else is to be done */
  constructor(sockets: FabricSockets, resting: () => void) {
    this.sockets = sockets;
    this.resting = resting;
    this.runSlice = () => this.slice();
    this.runRest = () => this.rest();
    this.onReadable = () => this.wake();
    this.sleep();
  }

  setNamespaces(namespaces: readonly ServedNamespace[]): void {
    this.namespaces = namespaces;
    this.clocks = [...new Set(namespaces.map(({ device }) => device.clock))];
  }

  /** A queue has something to send, or a device something to do. */
  touch(queue: TargetQueue): void {
    this.dirty.push(queue);
    this.wake();
  }

  wake(): void {
    if (this.immediate !== null || this.isClosed) return;
    this.restMs = firstRestMs;
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.setWatching(false);
    this.immediate = setImmediate(this.runSlice);
  }

  /** One look at sockets and devices. @returns how many had something */
  look(): number {
    let done = this.sockets.poll();
    for (const served of this.namespaces) if (served.inFlight > 0) done += served.poll();
    this.flush();
    return done;
  }

  close(): void {
    this.isClosed = true;
    this.setWatching(false);
    if (this.immediate !== null) clearImmediate(this.immediate);
    if (this.timer !== null) clearTimeout(this.timer);
  }

  private get isBusy(): boolean {
    for (const served of this.namespaces) if (served.inFlight > 0) return true;
    return false;
  }

  private slice(): void {
    this.immediate = null;
    let nowMs = performance.now();
    const endMs = nowMs + sliceMs;
    let lastMs = nowMs - lingerMs;
    for (;;) {
      const done = this.look();
      nowMs = performance.now();
      if (done > 0) lastMs = nowMs;
      else if (this.isBusy) this.idle(idleNs);
      else if (!this.sockets.isPolled || nowMs - lastMs > lingerMs) break;
      if (nowMs >= endMs) break;
    }
    if (this.isClosed) return;
    const goesOn = this.isBusy || (this.sockets.isPolled && nowMs - lastMs <= lingerMs);
    if (goesOn) this.immediate ??= setImmediate(this.runSlice);
    else if (this.immediate === null) this.sleep();
  }

  private flush(): void {
    for (let queue = this.dirty.pop(); queue !== undefined; queue = this.dirty.pop()) {
      queue.isDirty = false;
      queue.flush();
    }
  }

  private idle(ns: number): void {
    for (const clock of this.clocks) clock.idle(clock.nowNs() + ns);
  }

  private sleep(): void {
    if (this.isClosed) return;
    this.setWatching(true);
    this.timer ??= setTimeout(this.runRest, this.restMs);
    this.restMs = Math.min(2 * this.restMs, longestRestMs);
  }

  private rest(): void {
    this.timer = null;
    for (let i = 0; i < restingLooks; i++) {
      for (const { device } of this.namespaces) device.poll();
      this.idle(restingStepNs);
    }
    this.resting();
    this.flush();
    if (this.immediate === null) this.sleep();
  }

  private setWatching(isWanted: boolean): void {
    if (this.isWatching === isWanted) return;
    this.isWatching = isWanted;
    this.sockets.watch(isWanted ? this.onReadable : null);
  }
}
