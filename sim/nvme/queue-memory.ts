/**
 * Where the entries of a queue lie: in one piece, or in the pages of a PRP list (PC = 0). Entry
 * sizes divide the page, so that no entry crosses one.
 */
export class QueueMemory {
  /** Device address of the first entry, when the queue is in one piece. */
  readonly base: number;
  readonly entryBytes: number;
  private readonly pages: Float64Array | null;
  private readonly entriesPerPage: number;

  constructor(place: QueuePlace) {
    this.base = place.base;
    this.entryBytes = place.entryBytes;
    this.pages = place.pages ?? null;
    this.entriesPerPage = place.pageBytes / place.entryBytes;
  }

  /** Device address of an entry. */
  at(index: number): number {
    if (this.pages === null) return this.base + index * this.entryBytes;
    const page = Math.floor(index / this.entriesPerPage);
    return this.pages[page]! + (index - page * this.entriesPerPage) * this.entryBytes;
  }
}

export interface QueuePlace {
  readonly base: number;
  readonly entryBytes: number;
  readonly pageBytes: number;
  /** Page addresses of a queue that is not in one piece. */
  readonly pages?: Float64Array;
}
