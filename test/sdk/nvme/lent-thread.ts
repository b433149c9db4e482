import type { DmaOptions, DmaRegion, DmaSpace, PciFunction } from '../../../sdk/device.js';
import type { LoanPort } from '../../../sdk/nvme/loan-messages.js';

type Listener = (value: unknown) => void;

/**
 * One end of a channel inside a thread: messages are copied, and arrive in order before time goes
 * on.
 */
export class TestPort implements LoanPort {
  other: TestPort | null = null;
  readonly sent: unknown[] = [];
  /** Messages wait here while the other end is deaf. */
  isDeaf = false;
  private readonly listeners = new Map<string, Set<Listener>>();

  static pair(): [TestPort, TestPort] {
    const one = new TestPort();
    const two = new TestPort();
    one.other = two;
    two.other = one;
    return [one, two];
  }

  postMessage(message: unknown): void {
    this.sent.push(message);
    const copy: unknown = structuredClone(message);
    queueMicrotask(() => {
      if (this.other?.isDeaf === false) this.other.hear('message', copy);
    });
  }

  on(event: string, listener: Listener): void {
    const known = this.listeners.get(event) ?? new Set();
    known.add(listener);
    this.listeners.set(event, known);
  }

  off(event: string, listener: Listener): void {
    this.listeners.get(event)?.delete(listener);
  }

  /** Listeners left. */
  get count(): number {
    let sum = 0;
    for (const known of this.listeners.values()) sum += known.size;
    return sum;
  }

  hear(event: string, value: unknown): void {
    for (const listener of [...(this.listeners.get(event) ?? [])]) listener(value);
  }
}

/** The same function seen by a "thread" that has only one region of its memory. */
export function lentFunction(fn: PciFunction, memory: DmaRegion): PciFunction {
  const dma = new PieceSpace(memory);
  const { address, config, interrupts, clock } = fn;
  return {
    address,
    config,
    interrupts,
    clock,
    dma,
    isRemoved: false,
    bar: (index) => fn.bar(index),
    reset: () => Promise.reject(new Error('a borrower does not reset')),
    close: () => Promise.resolve(),
  };
}

/** Pieces of one region, never used twice. */
class PieceSpace implements DmaSpace {
  private used = 0;
  private readonly whole: DmaRegion;

  constructor(whole: DmaRegion) {
    this.whole = whole;
  }

  allocate(length: number, options: DmaOptions = {}): DmaRegion {
    const alignment = options.alignment ?? 4096;
    const at = Math.ceil(this.used / alignment) * alignment;
    this.used = at + length;
    if (this.used > this.whole.length) throw new Error('the lent memory is too small');
    const piece = new Piece(this, this.whole, { at, length });
    piece.bytes.fill(0);
    return piece;
  }

  free(region: DmaRegion): void {
    if (!(region instanceof Piece) || region.isFreed) throw new TypeError('freed twice');
    region.isFreed = true;
  }
}

class Piece implements DmaRegion {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  readonly iova: number;
  readonly length: number;
  readonly space: DmaSpace;
  isFreed = false;
  readonly isLost = false;

  constructor(space: DmaSpace, whole: DmaRegion, place: { at: number; length: number }) {
    const { at, length } = place;
    this.space = space;
    this.iova = whole.iova + at;
    this.length = length;
    this.bytes = whole.bytes.subarray(at, at + length);
    this.words = whole.words.subarray(at / 4, at / 4 + Math.floor(length / 4));
  }
}
