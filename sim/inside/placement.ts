import { assert } from '../../sdk/assert.js';

/**
 * Which units of the drives a namespace has: pieces of one size, each anywhere. What always holds:
 * a piece belongs to one namespace at most.
 */
export class Placement {
  private readonly pieceUnits: number;
  private readonly tables: (Int32Array | null)[] = [];
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
    const table = new Int32Array(count);
    let i = 0;
    for (; i < count && this.returned.length > 0; i++) table[i] = this.returned.pop()!;
    // A drive of terabytes has hundreds of thousands of them, and most are new.
    let { next } = this;
    for (; i < count; i++) table[i] = next++;
    this.next = next;
    while (this.tables.length <= nsid) this.tables.push(null);
    this.tables[nsid] = table;
  }

  remove(nsid: number): void {
    const table = this.tables[nsid] ?? null;
    if (table === null) return;
    this.tables[nsid] = null;
    for (let i = table.length - 1; i >= 0; i--) this.returned.push(table[i]!);
  }

  /** Where a unit of a namespace is among those of the drives. */
  find(nsid: number, unit: number): number {
    const piece = Math.floor(unit / this.pieceUnits);
    return this.tables[nsid]![piece]! * this.pieceUnits + (unit - piece * this.pieceUnits);
  }

  /** Visit a range in runs that lie next to each other. */
  runs(nsid: number, unit: number, count: number, visit: (at: number, run: number) => void): void {
    const table = this.tables[nsid]!;
    for (let done = 0; done < count; ) {
      const from = unit + done;
      let piece = Math.floor(from / this.pieceUnits);
      let run = this.pieceUnits - (from % this.pieceUnits);
      while (run < count - done && table[piece + 1] === table[piece]! + 1) {
        run += this.pieceUnits;
        piece++;
      }
      run = Math.min(run, count - done);
      visit(this.find(nsid, from), run);
      done += run;
    }
  }
}
