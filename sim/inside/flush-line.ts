import type { Drain } from './drain.js';
import { type DriveArray, TokenKind } from './drive-array.js';
import type { Jobs } from './jobs.js';

interface Flush {
  readonly job: number;
  /** Everything up to it has to be taken out of the buffer. */
  readonly sequence: number;
  /** Rows that had been taken out when all was; -1 before. */
  rows: number;
}

/**
 * Flushes in their order: first everything dirty is taken out of the buffer, then it is given to
 * the drives, then each drive flushes. Control path: a flush may allocate.
 */
export class FlushLine {
  private readonly jobs: Jobs;
  private readonly array: DriveArray;
  private readonly drain: Drain;
  private readonly end: (job: number) => void;
  private waiting: Flush[] = [];

  constructor(parts: {
    readonly jobs: Jobs;
    readonly array: DriveArray;
    readonly drain: Drain;
    readonly end: (job: number) => void;
  }) {
    this.jobs = parts.jobs;
    this.array = parts.array;
    this.drain = parts.drain;
    this.end = parts.end;
    parts.drain.onIssued = () => this.look();
  }

  /** The job ends when everything that is in the buffer now is on the medium. */
  begin(job: number): void {
    this.waiting.push({ job, sequence: this.drain.want(), rows: -1 });
    this.look();
  }

  look(): void {
    const { drain } = this;
    while (this.waiting.length > 0) {
      const flush = this.waiting[0]!;
      if (flush.rows < 0) {
        if (!drain.isTaken(flush.sequence)) return;
        flush.rows = drain.stagedRows;
      }
      if (drain.issuedRows < flush.rows) return;
      this.waiting.shift();
      this.flushDrives(flush.job);
    }
  }

  /** A drive has flushed for this job. */
  driveDone(job: number): void {
    const { jobs } = this;
    jobs.remaining[job]!--;
    if (jobs.remaining[job] === 0) this.end(job);
  }

  clear(): void {
    this.waiting = [];
  }

  private flushDrives(job: number): void {
    const { array, jobs } = this;
    const drives = array.drives;
    jobs.remaining[job] = drives.length;
    for (const drive of drives) drive.flush(array.tokenOf(TokenKind.flush, job));
    if (drives.length === 0) this.end(job);
  }
}
