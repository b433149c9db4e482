import { assert } from '../../sdk/assert.js';

/**
 * Which units of the drives a namespace has: pieces of one size, each anywhere. What always holds:
 * a piece belongs to one namespace at most.
 */
export class Placement {
  private readonly pieceUnits: number;
  /** Pieces of each namespace; null where they follow each other from `firsts` on. */
  private readonly tables: (Int32Array | null)[] = [];
  private readonly firsts: number[] = [];
  private readonly counts: number[] = [];
  /** Pieces that were given back, then all from `next` on. */
  private readonly returned: number[] = [];
  private next = 0;
  private readonly limit: number;

  constructor(totalUnits: number, pieceUnits: number) {
    this.pieceUnits = pieceUnits;
    this.limit = Math.floor(totalUnits / pieceUnits);
  }

  place(nsid: number, units: number): void {
    const count = Math.ceil(units / this.pieceUnits);
    assert(
      count <= this.limit - this.next + this.returned.length,
      'a namespace larger than what the drives have left',
    );
    while (this.tables.length <= nsid) {
      this.tables.push(null);
      this.firsts.push(0);
      this.counts.push(0);
    }
    this.counts[nsid] = count;
    // A drive of terabytes has hundreds of thousands of them, and most cards place them once.
    const isInOrder = this.returned.length === 0;
    this.tables[nsid] = isInOrder ? null : this.gather(count);
    this.firsts[nsid] = this.next;
    if (isInOrder) this.next += count;
  }

  remove(nsid: number): void {
    const count = this.counts[nsid] ?? 0;
    for (let i = count - 1; i >= 0; i--) this.returned.push(this.pieceAt(nsid, i));
    if (count > 0) this.counts[nsid] = 0;
  }

  /** Where a unit of a namespace is among those of the drives. */
  find(nsid: number, unit: number): number {
    const piece = Math.floor(unit / this.pieceUnits);
    return this.pieceAt(nsid, piece) * this.pieceUnits + (unit - piece * this.pieceUnits);
  }

  /** Visit a range in runs that lie next to each other. */
  runs(nsid: number, unit: number, count: number, visit: (at: number, run: number) => void): void {
    for (let done = 0; done < count; ) {
      const from = unit + done;
      let piece = Math.floor(from / this.pieceUnits);
      let run = this.pieceUnits - (from % this.pieceUnits);
      while (
        run < count - done &&
        this.pieceAt(nsid, piece + 1) === this.pieceAt(nsid, piece) + 1
      ) {
        run += this.pieceUnits;
        piece++;
      }
      run = Math.min(run, count - done);
      visit(this.find(nsid, from), run);
      done += run;
    }
  }

  private pieceAt(nsid: number, index: number): number {
    const table = this.tables[nsid]!;
    return table === null ? this.firsts[nsid]! + index : table[index]!;
  }

  private gather(count: number): Int32Array {
    const table = new Int32Array(count);
    for (let i = 0; i < count; i++) table[i] = this.returned.pop() ?? this.next++;
    return table;
  }
}
