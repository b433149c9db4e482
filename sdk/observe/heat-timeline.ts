import { assert } from '../assert.js';

const columnCount = 160;

/**
 * Amounts over time, a row for each part or range of values, in a fixed amount of memory: when the
 * time is longer than all columns, neighbours are joined and each becomes twice as long. A row
 * takes its memory when something is first added to it; after that recording allocates nothing.
 */
export class HeatTimeline {
  private readonly startNs: number;
  private columnNs: number;
  private readonly rows: (Float64Array | undefined)[] = [];

  /** @param startNs  clock at the start @param columnNs  length of the first columns, 100 µs */
  constructor(startNs: number, columnNs = 100_000) {
    assert(columnNs > 0, 'a column has a length');
    this.startNs = startNs;
    this.columnNs = columnNs;
  }

  /** How long a column is by now. */
  get stepNs(): number {
    return this.columnNs;
  }

  /** Rows that may hold something: 0 .. rowCount - 1. */
  get rowCount(): number {
    return this.rows.length;
  }

  /** One more of a row. */
  count(row: number, atNs: number): void {
    assert(atNs >= this.startNs, 'nothing is counted before the start');
    const cells = this.cellsOf(row, atNs);
    cells[Math.floor((atNs - this.startNs) / this.columnNs)]! += 1;
  }

  /** The nanoseconds of a stretch, each to the column that it lies in; none before the start. */
  spread(row: number, fromNs: number, toNs: number): void {
    const start = Math.max(0, fromNs - this.startNs);
    const end = toNs - this.startNs;
    if (end <= start) return;
    const cells = this.cellsOf(row, toNs);
    const { columnNs } = this;
    const last = Math.floor(end / columnNs);
    for (let column = Math.floor(start / columnNs); column <= last; column++) {
      const from = Math.max(start, column * columnNs);
      cells[column]! += Math.min(end, (column + 1) * columnNs) - from;
    }
  }

  /** Columns of a row from the start to a time, the last one only as far as it was recorded. */
  row(index: number, toNs: number): number[] {
    const wanted = Math.max(1, Math.ceil((toNs - this.startNs) / this.columnNs));
    const cells = this.rows[index];
    return Array.from({ length: wanted }, (_, column) => cells?.[column] ?? 0);
  }

  private cellsOf(row: number, atNs: number): Float64Array {
    while (atNs - this.startNs >= this.columnNs * columnCount) this.join();
    let cells = this.rows[row];
    if (cells === undefined) {
      cells = new Float64Array(columnCount);
      // Without holes: a row that nobody has added to is there, and empty.
      while (this.rows.length <= row) this.rows.push(undefined);
      this.rows[row] = cells;
    }
    return cells;
  }

  private join(): void {
    for (const cells of this.rows) {
      if (cells === undefined) continue;
      for (let i = 0; i < columnCount / 2; i++) cells[i] = cells[2 * i]! + cells[2 * i + 1]!;
      cells.fill(0, columnCount / 2);
    }
    this.columnNs *= 2;
  }
}
