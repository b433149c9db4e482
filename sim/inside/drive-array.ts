import type { Drive } from '../ftl/drive.js';
import type { MakeDrive } from './drive-kinds.js';

export interface ArrayListener {
  /** @param kind  a `TokenKind`  @param index  the number that the request was given */
  requestDone(kind: number, index: number, status: number, drive: Drive): void;
  /** A page of the map is read for a request of kind `read`. */
  mapRead(index: number): void;
  /** The state of a drive changed. */
  drivesChanged(): void;
}

/** What a request was for. */
export const TokenKind = {
  read: 0,
  program: 1,
  write: 2,
  flush: 3,
  erase: 4,
  background: 5,
} as const;
const kinds = 8;

export interface DriveArrayParts {
  readonly count: number;
  readonly stripeUnits: number;
  /** Units of one drive. */
  readonly driveUnits: number;
  readonly make: MakeDrive;
  readonly listener: ArrayListener;
}

/**
 * Drives side by side: units are spread over them in stripes, as a disk array without redundancy
 * does.
 *
 *   unit    0 .. s-1 | s .. 2s-1 | .. | n·s .. | ..
 *   drive       0          1       ..      0
 */
export class DriveArray {
  readonly count: number;
  private readonly stripeUnits: number;
  private readonly driveUnits: number;
  private readonly listener: ArrayListener;
  readonly drives: readonly Drive[];
  private readonly erasing: boolean[] = [];

  constructor(parts: DriveArrayParts) {
    this.count = parts.count;
    this.stripeUnits = parts.stripeUnits;
    this.driveUnits = parts.driveUnits;
    this.listener = parts.listener;
    const drives: Drive[] = [];
    for (let index = 0; index < parts.count; index++) {
      this.erasing.push(false);
      const drive = parts.make(index, {
        driveDone: (token, status) => this.done(index, token, status),
        driveChanged: () => this.listener.drivesChanged(),
        mapRead: (token) => this.mapRead(token),
      });
      drives.push(drive);
    }
    this.drives = drives;
  }

  get unitCount(): number {
    const stripes = Math.floor(this.driveUnits / this.stripeUnits);
    return this.count === 1 ? this.driveUnits : stripes * this.stripeUnits * this.count;
  }

  /** The drive that has a unit. */
  indexOf(unit: number): number {
    if (this.count === 1) return 0;
    return Math.floor(unit / this.stripeUnits) % this.count;
  }

  /** Number of the unit in its drive. */
  localOf(unit: number): number {
    if (this.count === 1) return unit;
    const stripe = Math.floor(unit / this.stripeUnits);
    const row = Math.floor(stripe / this.count);
    return row * this.stripeUnits + (unit - stripe * this.stripeUnits);
  }

  /** Units from `unit` on that lie next to each other in one drive. */
  runFrom(unit: number): number {
    if (this.count === 1) return Infinity;
    return this.stripeUnits - (unit % this.stripeUnits);
  }

  drive(index: number): Drive {
    return this.drives[index]!;
  }

  trim(unit: number, count: number): void {
    for (const [index, drive] of this.drives.entries()) {
      const first = this.unitsBelow(index, unit);
      const length = this.unitsBelow(index, unit + count) - first;
      if (length > 0) drive.trim(first, length);
    }
  }

  /** Erase every drive, each when its last request has ended. */
  eraseAll(): void {
    for (const [index, drive] of this.drives.entries()) {
      drive.trimAll();
      this.erasing[index] = true;
      this.eraseIfIdle(index, drive);
    }
  }

  /** Every drive is full before its first request. */
  fill(): void {
    for (const drive of this.drives) drive.fill();
  }

  powerCut(isProtected: boolean): void {
    this.erasing.fill(false);
    for (const drive of this.drives) drive.powerCut(isProtected);
  }

  tokenOf(kind: number, index: number): number {
    return index * kinds + kind;
  }

  private done(index: number, token: number, status: number): void {
    const drive = this.drives[index]!;
    this.listener.requestDone(token % kinds, Math.floor(token / kinds), status, drive);
    if (this.erasing[index]) this.eraseIfIdle(index, drive);
  }

  /** Only reads of the host have somebody who pays. */
  private mapRead(token: number): boolean {
    const isPaid = token % kinds === TokenKind.read;
    if (isPaid) this.listener.mapRead(Math.floor(token / kinds));
    return isPaid;
  }

  private eraseIfIdle(index: number, drive: Drive): void {
    if (drive.inFlight > 0) return;
    this.erasing[index] = false;
    drive.eraseAll(this.tokenOf(TokenKind.erase, index));
  }

  /** Units of a drive among those before `unit`. */
  private unitsBelow(index: number, unit: number): number {
    const width = this.stripeUnits * this.count;
    const rows = Math.floor(unit / width);
    const rest = unit - rows * width - index * this.stripeUnits;
    return rows * this.stripeUnits + Math.min(Math.max(rest, 0), this.stripeUnits);
  }
}
