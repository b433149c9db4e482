import { assert } from '../../sdk/assert.js';
import type { AddressRange } from './iommu.js';

interface Span {
  start: number;
  /** First address after it. */
  end: number;
}

/**
 * Device addresses that nobody uses. First fit over ascending, non-adjacent spans; giving a range
 * back joins its neighbours, so that a million pairs of take and give leave it as it was.
 */
export class IovaAllocator {
  private readonly free: Span[] = [];

  /**
   * @param ranges  what the IOMMU can map, reserved windows already left out
   * @param lowest  nothing below this address, so that address 0 stays a sign of a mistake
   */
  constructor(ranges: readonly AddressRange[], lowest: number) {
    for (const range of ranges) {
      const start = Math.max(range.first, lowest);
      const end = Math.min(range.last, Number.MAX_SAFE_INTEGER - 1) + 1;
      if (end > start) this.free.push({ start, end });
    }
  }

  /** @returns the first address, or -1 when no span is long enough */
  take(length: number, alignment: number): number {
    for (let i = 0; i < this.free.length; i++) {
      const span = this.free[i]!;
      const start = Math.ceil(span.start / alignment) * alignment;
      if (start + length > span.end) continue;
      const rest: Span[] = [];
      if (start > span.start) rest.push({ start: span.start, end: start });
      if (start + length < span.end) rest.push({ start: start + length, end: span.end });
      this.free.splice(i, 1, ...rest);
      return start;
    }
    return -1;
  }

  give(start: number, length: number): void {
    const end = start + length;
    let i = this.free.findIndex((span) => span.start >= end);
    if (i < 0) i = this.free.length;
    const before = this.free[i - 1];
    const after = this.free[i];
    assert(before === undefined || before.end <= start, 'an address range is given back twice');
    const joinsBefore = before?.end === start;
    const joinsAfter = after?.start === end;
    if (before !== undefined && joinsBefore) before.end = joinsAfter ? after!.end : end;
    if (joinsBefore && joinsAfter) this.free.splice(i, 1);
    else if (after !== undefined && joinsAfter) after.start = start;
    else if (!joinsBefore) this.free.splice(i, 0, { start, end });
  }

  /** For tests and reports. */
  get spans(): readonly Readonly<Span>[] {
    return this.free;
  }
}
