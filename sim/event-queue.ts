import { assert } from '../sdk/assert.js';

const firstCapacity = 1024;
const laneCount = 4;
const laneEntries = 512;
const laneMask = laneEntries - 1;
const heapSource = laneCount;
const nothing = -1;

/** Whoever has a time: a world. */
export interface Moment {
  readonly nowNs: number;
}

/**
 * Events ordered by (time, sequence), without an object or closure per event. An event waits in one
 * of three kinds of places; `take` takes the earliest of their first ones:
 *
 *   front   one register: it came in as the earliest. A chain of "do this, a little later do that"
 *           touches nothing else.
 *   lanes   four rings, each in order of time because an event is only appended behind an earlier
 *           one. Events after equal delays, or of one busy link, come in order by themselves.
 *   heap    a binary heap for what fits nowhere else.
 *
 * Use: `if (take()) { timeNs, handler, argument }`.
 *
 * Times come in as delays from a moment: a large number that is passed on is allocated, unless the
 * compiler happens to put caller and callee together; a small integer never is.
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

  private readonly laneTimes = new Float64Array(laneCount * laneEntries);
  private readonly laneSequences = new Float64Array(laneCount * laneEntries);
  private readonly laneHandlers = new Int32Array(laneCount * laneEntries);
  private readonly laneArgs = new Int32Array(laneCount * laneEntries);
  private readonly laneHeads = new Int32Array(laneCount);
  private readonly laneSizes = new Int32Array(laneCount);
  /** Time of the last event of each lane; of an empty one, less than any. */
  private readonly laneLast = new Float64Array(laneCount).fill(-1);
  private laneTotal = 0;

  /** Where the earliest event of lanes and heap is, and its time. */
  private nextSource = nothing;
  private nextTime = Infinity;

  get count(): number {
    return this.heapCount + this.laneTotal + (this.hasFront ? 1 : 0);
  }

  /** Time of the earliest event, Infinity when there is none. */
  get earliestNs(): number {
    return this.hasFront ? this.frontTime : this.nextTime;
  }

  /**
   * @param moment    a time of at least 0
   * @param delayNs   from that moment on, at least 0
   * @param handler   a number that the caller gave a meaning
   * @param argument  a 32-bit integer
   */
  push(moment: Moment, delayNs: number, handler: number, argument: number): void {
    const sequence = this.nextSequence++;
    const timeNs = moment.nowNs + delayNs;
    if (timeNs >= this.earliestNs) {
      this.append(moment, delayNs, sequence, handler, argument);
      return;
    }
    // What stood in front is earlier than all in the lanes, or as early and came before them.
    if (this.hasFront) {
      const frontNs = this.frontTime - moment.nowNs;
      this.sift(moment, frontNs, this.frontSequence, this.frontHandler, this.frontArgument);
      this.nextTime = this.frontTime;
      this.nextSource = heapSource;
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
    const source = this.nextSource;
    if (source === nothing) return false;
    if (source === heapSource) this.takeRoot();
    else this.takeLane(source);
    this.findNext();
    return true;
  }

  /** Behind the first lane that ends before it, else into the heap. */
  private append(
    moment: Moment,
    delayNs: number,
    sequence: number,
    handler: number,
    argument: number,
  ): void {
    const timeNs = moment.nowNs + delayNs;
    let source = heapSource;
    for (let lane = 0; lane < laneCount; lane++) {
      if (this.laneLast[lane]! <= timeNs && this.laneSizes[lane]! < laneEntries) {
        source = lane;
        break;
      }
    }
    if (source === heapSource) {
      this.sift(moment, delayNs, sequence, handler, argument);
    } else {
      const size = this.laneSizes[source]!;
      const at = source * laneEntries + ((this.laneHeads[source]! + size) & laneMask);
      this.laneTimes[at] = timeNs;
      this.laneSequences[at] = sequence;
      this.laneHandlers[at] = handler;
      this.laneArgs[at] = argument;
      this.laneSizes[source] = size + 1;
      this.laneLast[source] = timeNs;
      this.laneTotal++;
    }
    if (timeNs < this.nextTime) {
      this.nextTime = timeNs;
      this.nextSource = source;
    }
  }

  private takeLane(lane: number): void {
    const head = this.laneHeads[lane]!;
    const at = lane * laneEntries + head;
    this.timeNs = this.laneTimes[at]!;
    this.handler = this.laneHandlers[at]!;
    this.argument = this.laneArgs[at]!;
    this.laneHeads[lane] = (head + 1) & laneMask;
    const size = this.laneSizes[lane]! - 1;
    this.laneSizes[lane] = size;
    if (size === 0) this.laneLast[lane] = -1;
    this.laneTotal--;
  }

  private takeRoot(): void {
    this.timeNs = this.times[0]!;
    this.handler = this.handlers[0]!;
    this.argument = this.args[0]!;
    this.heapCount--;
    if (this.heapCount > 0) this.sinkLast();
  }

  /** Compare the first events of lanes and heap. */
  private findNext(): void {
    let source = nothing;
    let time = Infinity;
    let sequence = 0;
    if (this.heapCount > 0) {
      source = heapSource;
      time = this.times[0]!;
      sequence = this.sequences[0]!;
    }
    for (let lane = 0; lane < laneCount; lane++) {
      if (this.laneSizes[lane] === 0) continue;
      const at = lane * laneEntries + this.laneHeads[lane]!;
      const laneTime = this.laneTimes[at]!;
      if (laneTime < time || (laneTime === time && this.laneSequences[at]! < sequence)) {
        source = lane;
        time = laneTime;
        sequence = this.laneSequences[at]!;
      }
    }
    this.nextSource = source;
    this.nextTime = time;
  }

  /** Insert from the bottom: parents that come later move down, the new one takes the hole. */
  private sift(
    moment: Moment,
    delayNs: number,
    sequence: number,
    handler: number,
    argument: number,
  ): void {
    if (this.heapCount === this.times.length) this.grow();
    const timeNs = moment.nowNs + delayNs;
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
