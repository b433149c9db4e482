import { assert } from '../sdk/assert.js';

const firstCapacity = 1024;

/**
 * Events ordered by (time, sequence): a binary heap in typed arrays, with one register before it.
 * The register holds the earliest event when it came in as the earliest one, so that a chain of
 * "do this, a little later do that" never touches the heap. No object or closure per event.
 *
 * Use: `if (take()) { timeNs, handler, argument }`.
 */
export class EventQueue {
  /** The event that `take` took out. */
  timeNs = 0;
  handler = 0;
  argument = 0;

  private times = new Float64Array(firstCapacity);
  private sequences = new Float64Array(firstCapacity);
  private handlers = new Int32Array(firstCapacity);
  private args = new Int32Array(firstCapacity);
  private heapCount = 0;
  private nextSequence = 0;

  private hasFront = false;
  private frontTime = 0;
  private frontSequence = 0;
  private frontHandler = 0;
  private frontArgument = 0;

  get count(): number {
    return this.heapCount + (this.hasFront ? 1 : 0);
  }

  /** Time of the earliest event, Infinity when there is none. */
  get earliestNs(): number {
    if (this.hasFront) return this.frontTime;
    return this.heapCount > 0 ? this.times[0]! : Infinity;
  }

  /**
   * @param timeNs    absolute
   * @param handler   a number that the caller gave a meaning
   * @param argument  a 32-bit integer
   */
  push(timeNs: number, handler: number, argument: number): void {
    const sequence = this.nextSequence++;
    if (this.hasFront) {
      if (timeNs >= this.frontTime) {
        this.sift(timeNs, sequence, handler, argument);
        return;
      }
      this.sift(this.frontTime, this.frontSequence, this.frontHandler, this.frontArgument);
    } else if (this.heapCount > 0 && timeNs >= this.times[0]!) {
      this.sift(timeNs, sequence, handler, argument);
      return;
    }
    this.hasFront = true;
    this.frontTime = timeNs;
    this.frontSequence = sequence;
    this.frontHandler = handler;
    this.frontArgument = argument;
  }

  /** Take the earliest event out into the public fields. @returns false when there is none */
  take(): boolean {
    if (this.hasFront) {
      this.hasFront = false;
      this.timeNs = this.frontTime;
      this.handler = this.frontHandler;
      this.argument = this.frontArgument;
      return true;
    }
    if (this.heapCount === 0) return false;
    this.timeNs = this.times[0]!;
    this.handler = this.handlers[0]!;
    this.argument = this.args[0]!;
    this.heapCount--;
    if (this.heapCount > 0) this.sinkLast();
    return true;
  }

  /** Insert from the bottom: parents that come later move down, the new one takes the hole. */
  private sift(timeNs: number, sequence: number, handler: number, argument: number): void {
    if (this.heapCount === this.times.length) this.grow();
    const times = this.times;
    const sequences = this.sequences;
    const handlers = this.handlers;
    const args = this.args;
    let hole = this.heapCount++;
    while (hole > 0) {
      const parent = (hole - 1) >> 1;
      const parentTime = times[parent]!;
      if (parentTime < timeNs || (parentTime === timeNs && sequences[parent]! < sequence)) break;
      times[hole] = parentTime;
      sequences[hole] = sequences[parent]!;
      handlers[hole] = handlers[parent]!;
      args[hole] = args[parent]!;
      hole = parent;
    }
    times[hole] = timeNs;
    sequences[hole] = sequence;
    handlers[hole] = handler;
    args[hole] = argument;
  }

  /** The root is gone: the last entry sinks from there past every child that comes earlier. */
  private sinkLast(): void {
    const times = this.times;
    const sequences = this.sequences;
    const handlers = this.handlers;
    const args = this.args;
    const count = this.heapCount;
    const timeNs = times[count]!;
    const sequence = sequences[count]!;
    let hole = 0;
    for (let child = 1; child < count; child = 2 * hole + 1) {
      let childTime = times[child]!;
      const right = child + 1;
      if (right < count) {
        const rightTime = times[right]!;
        const isRight =
          rightTime < childTime ||
          (rightTime === childTime && sequences[right]! < sequences[child]!);
        if (isRight) {
          child = right;
          childTime = rightTime;
        }
      }
      if (timeNs < childTime || (timeNs === childTime && sequence < sequences[child]!)) break;
      times[hole] = childTime;
      sequences[hole] = sequences[child]!;
      handlers[hole] = handlers[child]!;
      args[hole] = args[child]!;
      hole = child;
    }
    times[hole] = timeNs;
    sequences[hole] = sequence;
    handlers[hole] = handlers[count]!;
    args[hole] = args[count]!;
  }

  private grow(): void {
    const capacity = this.times.length * 2;
    assert(capacity <= 2 ** 26, 'more than 2^25 events pending');
    const times = new Float64Array(capacity);
    const sequences = new Float64Array(capacity);
    const handlers = new Int32Array(capacity);
    const args = new Int32Array(capacity);
    times.set(this.times);
    sequences.set(this.sequences);
    handlers.set(this.handlers);
    args.set(this.args);
    this.times = times;
    this.sequences = sequences;
    this.handlers = handlers;
    this.args = args;
  }
}
