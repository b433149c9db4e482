import type { DriveBreakdown, DriveStatistics } from './drive.js';

/** Counters of a drive as it counts them. */
export class Counters implements DriveStatistics {
  hostReadUnits = 0;
  hostWriteUnits = 0;
  trimmedUnits = 0;
  mediaWriteUnits = 0;
  gcUnits = 0;
  wearUnits = 0;
  refreshUnits = 0;
  mapWriteUnits = 0;
  padUnits = 0;
  mapReads = 0;
  mapHits = 0;
  erases = 0;
  retries = 0;
  unrecoveredUnits = 0;
  programFailures = 0;
  eraseFailures = 0;
  suspends = 0;
  stoppedReads = 0;
  scannedPages = 0;
  /** Units of the host that have a place in a row; the rest of `hostWriteUnits` waits for room. */
  hostPutUnits = 0;
  /** Units that were put into another row after a program failed. */
  rewrittenUnits = 0;
  /** Units of rows that will not be programmed: their block failed, or the power went. */
  abandonedUnits = 0;
}

export class Breakdown implements DriveBreakdown {
  mapNs = 0;
  queueNs = 0;
  arrayNs = 0;
  transferNs = 0;

  /** No flash operation was done for it alone. */
  allInMap(ns: number): void {
    this.mapNs = ns;
    this.queueNs = 0;
    this.arrayNs = 0;
    this.transferNs = 0;
  }
}
