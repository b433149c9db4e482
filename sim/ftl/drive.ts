import type { AddTracks } from '../spans.js';
import type { CopyingDrive } from './copy-gate.js';

/**
 * The inside of a storage card below its firmware and buffers: what the card asks of its medium.
 * A drive models time, wear, mapping and errors; the bytes themselves stay in `sim/nvme/medium.ts`.
 *
 * Units are 4 KiB. All calls take numbers and allocate nothing; the end of a request is told by
 * `DriveListener.driveDone` from inside an event of the world, never from inside the call.
 */

export const driveUnitBytes = 4096;

/** How a request ended. */
export const DriveStatus = {
  done: 0,
  /** A unit cannot be read any more; `Drive.failedUnit` names it. */
  unrecovered: 1,
  /** The drive takes no writes any more: `DriveState.readOnly`. */
  writeProtected: 2,
} as const;

/** What is left of a drive. It only goes down. */
export const DriveState = {
  good: 0,
  /** Spare blocks are used up; writes still work. */
  noSpare: 1,
  /** Too few usable blocks are left: reads work, writes are refused. */
  readOnly: 2,
} as const;

export interface DriveListener {
  /**
   * A request is over.
   *
   * @param token   what the request was given, a 32-bit integer
   * @param status  a value of `DriveStatus`
   */
  driveDone(token: number, status: number): void;
  /** The state of the drive changed. */
  driveChanged(): void;
  /**
   * A read has to wait for a page of the map, which is being read from the medium. From inside
   * `Drive.read`, too.
   *
   * @returns whether whoever asked for the read pays for it
   */
  mapRead(token: number): boolean;
}

/**
 * Where the time of the request went whose end `driveDone` is telling: the part that ended last.
 * The four add up to the time since the call for a read; for a write, which shares its program
 * with others, they tell of that program from its start on.
 */
export interface DriveBreakdown {
  /** Before the flash operation was queued: the map was read, or no block was free. */
  readonly mapNs: number;
  /** In line for the die. */
  readonly queueNs: number;
  /** Command phase and cell array, retries included. */
  readonly arrayNs: number;
  /** In line for the bus, on it, and decoding. */
  readonly transferNs: number;
}

/** Counters since the drive was made. Units of 4 KiB unless the name says otherwise. */
export interface DriveStatistics {
  readonly hostReadUnits: number;
  readonly hostWriteUnits: number;
  readonly trimmedUnits: number;
  /** Written to the medium: host + relocated + map + padding. */
  readonly mediaWriteUnits: number;
  readonly gcUnits: number;
  readonly wearUnits: number;
  readonly refreshUnits: number;
  readonly mapWriteUnits: number;
  readonly padUnits: number;
  readonly mapReads: number;
  readonly mapHits: number;
  readonly erases: number;
  readonly retries: number;
  readonly unrecoveredUnits: number;
  readonly programFailures: number;
  readonly eraseFailures: number;
  readonly suspends: number;
  /** Reads that were ended for reserved ones, and began again. */
  readonly stoppedReads: number;
  /** Read by the scan of the medium, that nobody asked for. */
  readonly scannedPages: number;
}

/** What SMART and the logs want to know; computed when asked. */
export interface DriveWear {
  readonly state: number;
  /** Spare blocks left, of those at the factory. */
  readonly sparePercent: number;
  /** Mean erase count by rated endurance; goes on beyond 100. */
  readonly usedPercent: number;
  readonly minErases: number;
  readonly maxErases: number;
  readonly meanErases: number;
  readonly badBlocks: number;
  /** mediaWriteUnits / hostWriteUnits; 1 before the first write. */
  readonly writeAmplification: number;
}

export interface Drive {
  /** Units that the host can address. */
  readonly unitCount: number;
  /** Units that one program writes: writes reach the medium in rows of so many. */
  readonly rowUnits: number;
  /** Streams 0..streamCount - 1 can be named in `write`. */
  readonly streamCount: number;
  /** A value of `DriveState`. */
  readonly state: number;
  /** Requests that have not ended. */
  readonly inFlight: number;
  /** During `driveDone` with `unrecovered`: the first unit that could not be read. */
  readonly failedUnit: number;
  /** During `driveDone`. */
  readonly breakdown: DriveBreakdown;
  readonly statistics: DriveStatistics;
  /** Itself as somebody who copies data that nobody asked for; null when it never does. */
  readonly copying: CopyingDrive | null;

  /**
   * @param count       at least 1
   * @param isReserved  a reservation pays for it: flash serves it before what others wait for;
   *   cells that are written in place serve everybody in turn
   */
  read(unit: number, count: number, token: number, isReserved?: boolean): void;

  /**
   * Ends when all of it is programmed. A row that is not full waits for more writes of its stream
   * or for `flush`: a write buffer in front gathers `rowUnits` or flushes.
   *
   * @param stream  0..streamCount - 1
   */
  write(unit: number, count: number, stream: number, token: number): void;

  /** Forget the content of units, at once; a read of them costs no medium time. */
  trim(unit: number, count: number): void;

  /** Program what is waiting, padded; ends when every write of before has ended. */
  flush(token: number): void;

  /**
   * As if every unit had been written once, in order, before the first request: at once, whatever
   * the size. Statistics do not count it.
   */
  fill(): void;

  /** Forget everything (format). Requests in flight go on and end. */
  trimAll(): void;

  /**
   * Erase every block that can be erased, over-provisioned and spare ones too (sanitize). No other
   * request may be in flight. Ends when the last erase has.
   */
  eraseAll(token: number): void;

  /**
   * The power goes away now. Requests in flight are forgotten and never end.
   *
   * @param isProtected  capacitors finish what the drive has taken; otherwise units whose program
   *   has not ended keep their content of before
   */
  powerCut(isProtected: boolean): void;

  /** Time passes without power: data ages (retention). */
  age(days: number): void;

  wear(): DriveWear;

  /** Tell when channels and dies are busy. */
  watch(addTracks: AddTracks, name: string): void;

  // What a fault plan does to a drive.

  /** The next programs or erases of a die fail. */
  failPrograms(die: number, count: number): void;
  failErases(die: number, count: number): void;
  /** A unit cannot be read until it is written again. */
  loseUnit(unit: number): void;
  /** The die answers late, once. */
  stallDie(die: number, ns: number): void;
  readonly dieCount: number;
}
