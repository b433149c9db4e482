import { assert } from '../sdk/assert.js';
import type { Clock } from '../sdk/device.js';
import { ErrorCode, UltimaError } from '../sdk/errors.js';
import { EventQueue } from './event-queue.js';
import { Prng } from './prng.js';

/** What an event calls. The argument is the 32-bit integer that `schedule` was given. */
export type EventHandler = (argument: number) => void;

export interface WorldOptions {
  /** 0..2^53 - 1; 1 when left out. Equal seeds and equal hosts give equal runs, event for event. */
  readonly seed?: number;
}

const never = Number.MAX_SAFE_INTEGER;

/**
 * One virtual clock, one queue of events, one source of chance. All cards, links and hosts of a
 * simulation share a world. Time is an integer number of nanoseconds and moves only inside `idle`,
 * `turn` and `advance`, which the host calls: handlers never call them.
 */
export class World {
  readonly seed: number;
  /** Virtual time. */
  nowNs = 0;
  /** Events run so far. */
  eventCount = 0;
  /** Time as hosts see it. */
  readonly clock: Clock;

  private readonly queue = new EventQueue();
  private readonly handlers: EventHandler[] = [];
  private hashLow = 0x9e3779b9 | 0;
  private hashHigh = 0x85ebca6b | 0;
  /** Counts what a host could see; a host has looked at everything up to `seen`. */
  private visible = 0;
  private seen = 0;
  private readonly ordinals = new Map<string, number>();
  private isRunning = false;
  /** Handlers that run before an event, by its number, ascending; `breakAt` is the first. */
  private breaks: Break[] = [];
  private breakAt = never;

  constructor(options: WorldOptions = {}) {
    this.seed = options.seed ?? 1;
    this.clock = new VirtualClock(this);
  }

  /** Give a handler a number. Done at set-up, once per kind of event of a component. */
  register(handler: EventHandler): number {
    return this.handlers.push(handler) - 1;
  }

  /**
   * Run a handler later. Events of equal time run in the order in which they were scheduled.
   *
   * @param delayNs   integer, at least 0
   * @param handler   what `register` returned
   * @param argument  a 32-bit integer, usually an index into a pool
   */
  schedule(delayNs: number, handler: number, argument: number): void {
    assert(delayNs >= 0 && delayNs < never, 'an event lies in the past or is no number');
    assert((argument | 0) === argument, 'the argument of an event is a 32-bit integer');
    this.queue.push(this, delayNs, handler, argument);
  }

  /** A host can see something now: a completion entry, an interrupt, a reset that is done. */
  hostVisible(): void {
    this.visible++;
  }

  /** A stream of chance for one component; equal names give equal streams. */
  prng(name: string): Prng {
    return new Prng(this.seed, name);
  }

  /** 0, 1, 2 .. for the things of one kind in this world. */
  takeOrdinal(kind: string): number {
    const ordinal = this.ordinals.get(kind) ?? 0;
    this.ordinals.set(kind, ordinal + 1);
    return ordinal;
  }

  /** How many of a kind have an ordinal. */
  ordinalsOf(kind: string): number {
    return this.ordinals.get(kind) ?? 0;
  }

  /** Handlers registered so far: equal for worlds of equal construction. */
  get handlerCount(): number {
    return this.handlers.length;
  }

  /** Hash over time, handler and argument of every event so far: equal for equal runs. */
  get eventHash(): string {
    const high = (this.hashHigh >>> 0).toString(16).padStart(8, '0');
    return high + (this.hashLow >>> 0).toString(16).padStart(8, '0');
  }

  /** Events waiting. */
  get pendingCount(): number {
    return this.queue.count;
  }

  /** The host spends time: everything due within `ns` from now happens, then the time is over. */
  advance(ns: number): void {
    assert(ns >= 0 && ns < never, 'time does not run backwards');
    this.runFor(ns, false);
  }

  /** When the earliest event is due; Infinity when none waits. */
  get earliestNs(): number {
    return this.queue.earliestNs;
  }

  /** Run every event that is due within `ns` from now. Time stops at the last of them. */
  runEvents(ns: number): void {
    assert(!this.isRunning, 'an event handler must not move time');
    this.isRunning = true;
    try {
      const queue = this.queue;
      const untilNs = this.nowNs + ns;
      while (queue.earliestNs <= untilNs) {
        queue.take();
        this.runTaken();
      }
    } finally {
      this.isRunning = false;
    }
  }

  /**
   * Run to the next thing that a host can see, including all else of the same nanosecond; at most
   * to `untilNs`. Returns at once when there is something that the host has not looked at since the
   * last return.
   *
   * @throws UltimaError WORLD_STALLED when nothing will ever happen and there is no deadline
   */
  idle(untilNs: number): void {
    // A host may compute with fractions; the world's time has none.
    if (this.visible === this.seen) this.runFor(Math.ceil(untilNs) - this.nowNs, true);
    this.seen = this.visible;
  }

  /** What a task that goes to sleep remembers: something newer than this wakes it. */
  get seenMark(): number {
    return this.seen;
  }

  /**
   * A task that went to sleep with this mark wants to look again: run to the next thing that a host
   * can see, unless another task of the thread has already run the world past one.
   */
  idleSince(mark: number, untilNs: number): void {
    if (this.visible === mark) this.idle(untilNs);
    this.seen = this.visible;
  }

  /**
   * Run a handler just before event number `eventNumber` (the count from 0) runs, once. It is no
   * event itself: neither count nor hash know of it.
   */
  beforeEvent(eventNumber: number, handler: number, argument = 0): void {
    assert(eventNumber >= this.eventCount, 'that event has already run');
    const at = this.breaks.findIndex((each) => each.eventNumber > eventNumber);
    const added = { eventNumber, handler, argument };
    this.breaks.splice(at < 0 ? this.breaks.length : at, 0, added);
    this.breakAt = this.breaks[0]!.eventNumber;
  }

  /** Not at all when the time is over already. */
  private runFor(ns: number, stopsWhenVisible: boolean): void {
    assert(!this.isRunning, 'an event handler must not move time');
    this.isRunning = true;
    try {
      const queue = this.queue;
      // Below the time of the earliest event of an empty queue, which is Infinity.
      const endNs = Math.min(this.nowNs + ns, never);
      let limitNs = endNs;
      while (queue.earliestNs <= limitNs) {
        queue.take();
        this.runTaken();
        if (stopsWhenVisible && this.visible !== this.seen) limitNs = this.nowNs;
      }
      if (limitNs !== endNs || endNs <= this.nowNs) return;
      if (endNs >= never) this.stall();
      this.nowNs = endNs;
    } finally {
      this.isRunning = false;
    }
  }

  private runTaken(): void {
    const { timeNs, handler, argument } = this.queue;
    this.nowNs = timeNs;
    if (this.eventCount === this.breakAt) this.runBreaks();
    this.eventCount++;
    const mixed = Math.imul(this.hashLow ^ (timeNs | 0), 0x9e3779b1) ^ argument;
    this.hashLow = Math.imul((mixed << 13) | (mixed >>> 19), 0x85ebca77);
    this.hashHigh = Math.imul(this.hashHigh ^ this.hashLow ^ handler, 0xc2b2ae3d);
    this.handlers[handler]!(argument);
  }

  private runBreaks(): void {
    for (;;) {
      const first = this.breaks[0];
      this.breakAt = first?.eventNumber ?? never;
      if (first === undefined || first.eventNumber > this.eventCount) return;
      this.breaks.shift();
      this.handlers[first.handler]!(first.argument);
    }
  }

  private stall(): never {
    throw new UltimaError(
      ErrorCode.worldStalled,
      'the simulated world has no event left and its host waits without a deadline: ' +
        'a command was lost, or nothing was submitted',
      { nowNs: this.nowNs, eventCount: this.eventCount },
    );
  }
}

interface Break {
  readonly eventNumber: number;
  readonly handler: number;
  readonly argument: number;
}

interface Waiter {
  readonly untilNs: number;
  readonly mark: number;
  resolve(): void;
  reject(error: unknown): void;
}

class VirtualClock implements Clock {
  private readonly world: World;
  private waiters: Waiter[] = [];

  constructor(world: World) {
    this.world = world;
  }

  nowNs(): number {
    return this.world.nowNs;
  }

  idle(untilNs: number): void {
    this.world.idle(untilNs);
  }

  /** All tasks that wait share one run of the world, after every task has had its turn. */
  turn(untilNs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.waiters.length === 0) setImmediate(() => this.drive());
      this.waiters.push({ untilNs, mark: this.world.seenMark, resolve, reject });
    });
  }

  private drive(): void {
    const waiters = this.waiters;
    this.waiters = [];
    try {
      let untilNs = Infinity;
      let mark = Infinity;
      for (const waiter of waiters) {
        untilNs = Math.min(untilNs, waiter.untilNs);
        mark = Math.min(mark, waiter.mark);
      }
      this.world.idleSince(mark, untilNs);
    } catch (error) {
      for (const waiter of waiters) waiter.reject(error);
      return;
    }
    for (const waiter of waiters) waiter.resolve();
  }
}
