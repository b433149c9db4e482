import type { Clock } from '../device.js';
import { msNs, usNs } from '../units.js';
import type { Sockets } from './stream.js';

/** Devices and sockets are looked at for so long before the event loop has its turn. */
const sliceMs = 0.2;
/** What a device may let pass at once while requests are under way. */
const idleNs = msNs;
/** Looks after what devices do on their own, and pauses between them. */
const restingLooks = 32;
const restingStepNs = 100 * usNs;
const firstRestMs = 1;
const longestRestMs = 1000;

/** A device that is served, with the requests in front of it and inside. */
export interface Served {
  readonly device: { readonly clock: Clock; poll(): number };
  readonly inFlight: number;
  /** Let the device work and tell whose requests have ended. @returns how many */
  poll(): number;
}

/** A connection that has something to send, or room to receive. */
export interface Turning {
  isDirty: boolean;
  turn(): void;
}

export interface ReactorParts {
  readonly sockets: Sockets;
  /** Polled sockets are looked at for so long after the last bytes that came. */
  readonly spinMs: number;
  /**
   * After that the thread waits for them in the kernel for so long, whatever else it could do,
   * before it sleeps in its event loop: cheaper for a thread that does nothing else.
   */
  readonly waitMs: number;
  /** Called now and then while nothing else is to be done. */
  readonly resting?: () => void;
}

/**
 * The loop of a thread that serves devices at sockets. While requests are under way it looks at the
 * devices, and at the sockets where they are polled, in slices; between them the event loop has its
 * turn. A clock that only moves when it is asked to (a simulated card) is moved to the next thing
 * that can be seen. When nothing is under way it sleeps, and sockets wake it. What devices do on
 * their own (a pool writes its metadata, frees space) goes on at pauses that grow to a second.
 */
export class Reactor {
  private served: readonly Served[] = [];
  private clocks: readonly Clock[] = [];
  private readonly sockets: Sockets;
  private readonly spinMs: number;
  private readonly waitMs: number;
  private readonly resting: () => void;
  private readonly dirty: Turning[] = [];
  private readonly runSlice: () => void;
  private readonly runRest: () => void;
  private readonly onReadable: () => void;
  private immediate: NodeJS.Immediate | null = null;
  private timer: NodeJS.Timeout | null = null;
  private restMs = firstRestMs;
  /** When something was done for the last time. */
  private lastMs = 0;
  private isWatching = false;
  private isClosed = false;

  constructor(parts: ReactorParts) {
    this.sockets = parts.sockets;
    this.spinMs = parts.spinMs;
    this.waitMs = parts.waitMs;
    this.resting = parts.resting ?? (() => {});
    this.runSlice = () => this.slice();
    this.runRest = () => this.rest();
    this.onReadable = () => this.wake();
    this.sleep();
  }

  setServed(served: readonly Served[]): void {
    this.served = served;
    this.clocks = [...new Set(served.map(({ device }) => device.clock))];
  }

  /** A connection has something to send, or a device something to do. */
  touch(connection: Turning): void {
    if (connection.isDirty) return;
    connection.isDirty = true;
    this.dirty.push(connection);
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
  look(waitMs = 0): number {
    let done = this.sockets.poll(waitMs);
    for (const served of this.served) if (served.inFlight > 0) done += served.poll();
    this.turnDirty();
    return done;
  }

  close(): void {
    this.isClosed = true;
    this.setWatching(false);
    if (this.immediate !== null) clearImmediate(this.immediate);
    if (this.timer !== null) clearTimeout(this.timer);
  }

  private get isBusy(): boolean {
    for (const served of this.served) if (served.inFlight > 0) return true;
    return false;
  }

  /** To the end of its time, or until nothing is under way and nothing comes. */
  private slice(): void {
    this.immediate = null;
    const { isPolled } = this.sockets;
    let nowMs = performance.now();
    const endMs = nowMs + sliceMs;
    let goesOn = true;
    while (goesOn && nowMs < endMs) {
      const isQuiet = !this.isBusy && nowMs - this.lastMs >= this.spinMs;
      const done = this.look(isQuiet ? this.waitMs : 0);
      nowMs = performance.now();
      if (done > 0) this.lastMs = nowMs;
      else if (this.isBusy) this.idle(idleNs);
      else goesOn = isPolled && !isQuiet;
    }
    if (this.isClosed) return;
    if (goesOn) this.immediate ??= setImmediate(this.runSlice);
    else if (this.immediate === null) this.sleep();
  }

  private turnDirty(): void {
    for (let each = this.dirty.pop(); each !== undefined; each = this.dirty.pop()) {
      each.isDirty = false;
      each.turn();
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
      for (const { device } of this.served) device.poll();
      this.idle(restingStepNs);
    }
    this.resting();
    this.turnDirty();
    if (this.immediate === null) this.sleep();
  }

  private setWatching(isWanted: boolean): void {
    if (this.isWatching === isWanted) return;
    this.isWatching = isWanted;
    this.sockets.watch(isWanted ? this.onReadable : null);
  }
}
