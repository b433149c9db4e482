import { checkIntervalNs } from './options.js';
import type { QueuePair } from './queue-pair.js';

/** Somebody who waits for something that polling brings. */
export interface Waiter {
  /** Time of the clock at which `late` is to be called; infinite for never. */
  readonly deadlineNs: number;
  late(): void;
}

/**
 * Polls a queue pair for as long as promises wait for it. One loop serves all of them, so that a
 * hundred commands in flight cost one wake-up, not a hundred.
 */
export class Pump {
  private waiting = 0;
  private isRunning = false;
  private readonly pair: QueuePair;
  private readonly timed = new Set<Waiter>();
  private readonly starters: (() => void)[] = [];

  constructor(pair: QueuePair) {
    this.pair = pair;
  }

  /** Called after each poll: whoever waits for a slot tries again. */
  onTurn(start: () => void): void {
    this.starters.push(start);
  }

  enter(waiter: Waiter): void {
    this.waiting++;
    if (waiter.deadlineNs !== Number.POSITIVE_INFINITY) this.timed.add(waiter);
    if (this.isRunning) return;
    this.isRunning = true;
    // Whatever is submitted in the same turn of the thread goes under one doorbell.
    queueMicrotask(() => {
      this.loop().catch((error: unknown) => {
        this.isRunning = false;
        throw error;
      });
    });
  }

  leave(waiter: Waiter): void {
    this.waiting--;
    if (this.timed.size > 0) this.timed.delete(waiter);
  }

  private async loop(): Promise<void> {
    const { pair } = this;
    while (this.waiting > 0) {
      const count = pair.poll();
      for (const start of this.starters) start();
      if (count > 0) {
        await null;
        continue;
      }
      pair.checkClock();
      const nowNs = pair.clock.nowNs();
      let untilNs = nowNs + checkIntervalNs;
      for (const waiter of this.timed) {
        if (waiter.deadlineNs <= nowNs) this.late(waiter);
        else untilNs = Math.min(untilNs, waiter.deadlineNs);
      }
      if (this.waiting > 0) await pair.idle(untilNs);
    }
    this.isRunning = false;
  }

  private late(waiter: Waiter): void {
    this.timed.delete(waiter);
    waiter.late();
  }
}

const pumps = new WeakMap<QueuePair, Pump>();

/** The one pump of a queue pair. */
export function pumpOf(pair: QueuePair): Pump {
  let pump = pumps.get(pair);
  if (pump === undefined) {
    pump = new Pump(pair);
    pumps.set(pair, pump);
  }
  return pump;
}
