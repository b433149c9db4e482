import type { Clock } from '../device.js';

/**
 * A procedure of the control path, written as prose: `yield until` means "look again, at the latest
 * at that time". It can be driven from an async function and, step by step, from a polling loop
 * that never gives the thread back: a reset goes on while I/O is polled.
 */
export type Steps<T> = Generator<number, T, void>;

/** How a task sleeps: until something may have happened, at most to a time. */
export type Sleep = (untilNs: number) => Promise<unknown>;

/** A procedure under way. Whoever has time steps it; everybody may wait for its end. */
export class Procedure<T> {
  isDone = false;
  result: T | undefined;
  error: unknown;
  private untilNs = 0;
  private isRunning = false;
  private readonly steps: Steps<T>;
  private readonly ended: (() => void) | null;

  /** @param ended runs once, when the procedure has returned or thrown */
  constructor(steps: Steps<T>, ended: (() => void) | null = null) {
    this.steps = steps;
    this.ended = ended;
  }

  /** Go on to the next `yield`. @returns whether the procedure is over */
  step(): boolean {
    // A step may run user callbacks that poll, and polling steps: the outer step goes on later.
    if (this.isDone || this.isRunning) return this.isDone;
    this.isRunning = true;
    try {
      const next = this.steps.next();
      if (next.done === true) this.finish(next.value, undefined);
      else this.untilNs = next.value;
    } catch (error) {
      this.finish(undefined, error);
    } finally {
      this.isRunning = false;
    }
    return this.isDone;
  }

  /** Drive to the end. @throws what the procedure threw */
  async run(sleep: Sleep): Promise<T> {
    while (!this.step()) await sleep(this.untilNs);
    return this.value();
  }

  /** The result of a procedure that is over. */
  value(): T {
    if (this.error !== undefined) throw this.error;
    // A procedure of type void ends with undefined, which is its T.
    return this.result!;
  }

  private finish(result: T | undefined, error: unknown): void {
    this.isDone = true;
    this.result = result;
    this.error = error;
    this.ended?.();
  }
}

export interface Poll {
  readonly clock: Clock;
  readonly deadlineNs: number;
  /** Nanoseconds between two looks; grows fourfold up to a millisecond. */
  readonly intervalNs: number;
}

const slowestPollNs = 1_000_000;

/** Look at a condition until it holds. @returns false when the deadline passed first */
export function* until(condition: () => boolean, poll: Poll): Steps<boolean> {
  let intervalNs = poll.intervalNs;
  for (;;) {
    if (condition()) return true;
    const nowNs = poll.clock.nowNs();
    if (nowNs >= poll.deadlineNs) return false;
    yield Math.min(poll.deadlineNs, nowNs + intervalNs);
    intervalNs = Math.min(slowestPollNs, intervalNs * 4);
  }
}
