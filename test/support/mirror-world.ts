import { EventQueue } from '../../sim/event-queue.js';
import { Prng } from '../../sim/prng.js';

const fewTicks = 3;
const quietNs = 100_000;

/**
 * Virtual time for a storm of whole nodes. Events run one after the other; between two of them the
 * promises of the control paths go on by a few steps only, so that these meet many orders. Where
 * nothing happens for a while they come to an end.
 */
export class StormWorld {
  nowNs = 0;
  eventCount = 0;
  readonly chance: Prng;
  violation: string | null = null;
  private readonly queue = new EventQueue();
  private readonly actions: (() => void)[] = [];
  private readonly freeSlots: number[] = [];

  constructor(seed: number) {
    this.chance = new Prng(seed, 'world');
  }

  after(delayNs: number, action: () => void): void {
    const slot = this.freeSlots.pop() ?? this.actions.length;
    this.actions[slot] = action;
    this.queue.push(this, Math.max(0, Math.round(delayNs)), 0, slot);
  }

  /** Something that must never be. The first one counts. */
  violate(what: string): void {
    this.violation ??= `${what} (at ${(this.nowNs / 1e6).toFixed(3)} ms)`;
  }

  /** Run what is due within so much time. */
  async run(ns: number): Promise<void> {
    const untilNs = this.nowNs + ns;
    const { queue } = this;
    while (queue.earliestNs <= untilNs && this.violation === null) {
      queue.take();
      const gapNs = queue.timeNs - this.nowNs;
      this.nowNs = queue.timeNs;
      const slot = queue.argument;
      const action = this.actions[slot]!;
      this.freeSlots.push(slot);
      this.eventCount++;
      action();
      if (gapNs > quietNs || queue.earliestNs - this.nowNs > quietNs) await quiet();
      else for (let i = 0; i < fewTicks; i++) await null;
    }
    this.nowNs = Math.max(this.nowNs, untilNs);
    await quiet();
  }

  /** Run until something is so, at most for so long. @returns whether it came about */
  async runUntil(isSo: () => boolean, ns: number): Promise<boolean> {
    const untilNs = this.nowNs + ns;
    while (!isSo() && this.nowNs < untilNs && this.violation === null) await this.run(100_000);
    return isSo();
  }
}

function quiet(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
