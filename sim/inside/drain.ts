import { lookUpAndIssue, type Stages } from '../firmware/stages.js';
import type { BufferProfile } from '../profiles/inside.js';
import type { World } from '../world.js';
import { type DriveArray, TokenKind } from './drive-array.js';
import type { WriteBuffer } from './write-buffer.js';

const none = -1;

/**
 * Rows that the firmware works on at one time: enough to keep its stages busy, few enough that a
 * read of the host does not stand behind a whole buffer.
 */
const stagedLimit = 4; // guess

export interface DrainParts {
  readonly world: World;
  readonly buffer: WriteBuffer;
  readonly array: DriveArray;
  readonly stages: Stages;
  readonly profile: BufferProfile;
  /** Units of one program. */
  readonly rowUnits: number;
  readonly streams: number;
}

/**
 * Takes units out of the write buffer, a row at a time, has the firmware look up and issue them and
 * gives them to their drive. A row goes when the buffer is fuller than its mark, when somebody
 * waits for room, or when a flush wants it; only a flush sends rows that are not full.
 */
export class Drain {
  /** Somebody waits for room. */
  isPressed = false;
  /** Rows were taken out, and given to drives: a flush waits for the second to follow the first. */
  stagedRows = 0;
  issuedRows = 0;
  private readonly world: World;
  private readonly buffer: WriteBuffer;
  private readonly array: DriveArray;
  private readonly stages: Stages;
  private readonly rowUnits: number;
  private readonly streams: number;
  private readonly markUnits: number;
  private readonly rowsPerDie: number;
  /** Everything up to this sequence number is wanted on the medium. */
  private wanted = 0;
  /** The list that had its turn last. */
  private turn = 0;
  private readonly chain: Int32Array;
  private readonly leaving: Int32Array;
  private readonly onRow: number;
  /** A row has gone to its drive. */
  onIssued: () => void = () => {};

  constructor(parts: DrainParts) {
    this.world = parts.world;
    this.buffer = parts.buffer;
    this.array = parts.array;
    this.stages = parts.stages;
    this.rowUnits = parts.rowUnits;
    this.streams = parts.streams;
    this.rowsPerDie = parts.profile.rowsPerDie;
    this.markUnits = Math.floor((parts.buffer.capacity * parts.profile.drainPermille) / 1000);
    this.chain = new Int32Array(parts.buffer.capacity).fill(none);
    this.leaving = new Int32Array(parts.array.count);
    this.onRow = parts.world.register((slot) => this.issue(slot));
  }

  listOf(driveIndex: number, stream: number): number {
    return driveIndex * this.streams + (stream % this.streams);
  }

  /** Everything that is dirty now has to go. @returns its last sequence number */
  want(): number {
    this.wanted = this.buffer.sequence;
    this.kickAll();
    return this.wanted;
  }

  /** Whether all up to a sequence number has been taken out. */
  isTaken(sequence: number): boolean {
    const { buffer } = this;
    for (let list = 0; list < buffer.listCount; list++) {
      if (buffer.oldest(list) <= sequence) return false;
    }
    return true;
  }

  kickAll(): void {
    for (let list = 0; list < this.buffer.listCount; list++) this.kick(list);
  }

  /** Start what rows of a list can start. */
  kick(list: number): void {
    const { buffer } = this;
    const driveIndex = Math.floor(list / this.streams);
    while (this.stagedRows - this.issuedRows < stagedLimit) {
      const count = buffer.countOf(list);
      if (count === 0) return;
      const isFlushed = buffer.oldest(list) <= this.wanted;
      if (count < this.rowUnits && !isFlushed) return;
      if (!isFlushed && !this.isPressed && buffer.used <= this.markUnits) return;
      const limit = this.array.drive(driveIndex).dieCount * this.rowsPerDie * this.rowUnits;
      if (this.leaving[driveIndex]! >= limit) return;
      this.stage(list, Math.min(count, this.rowUnits));
    }
  }

  /** A unit is on the medium, or the drive took no more. */
  programmed(slot: number): void {
    const list = this.buffer.listOf(slot);
    this.leaving[Math.floor(list / this.streams)]!--;
    this.buffer.release(slot);
    this.kick(list);
  }

  powerLost(): void {
    this.leaving.fill(0);
    this.issuedRows = this.stagedRows;
    this.isPressed = false;
  }

  private stage(list: number, count: number): void {
    const { buffer, stages } = this;
    const first = buffer.stage(list);
    let last = first;
    for (let i = 1; i < count; i++) {
      const slot = buffer.stage(list);
      this.chain[last] = slot;
      last = slot;
    }
    this.chain[last] = none;
    this.leaving[Math.floor(list / this.streams)]! += count;
    this.stagedRows++;
    const { nowNs } = this.world;
    const readyNs = lookUpAndIssue(stages, nowNs, count);
    this.world.schedule(readyNs - nowNs, this.onRow, first);
  }

  private issue(first: number): void {
    const { buffer, array } = this;
    // The power went meanwhile: what was staged waits again, or is gone.
    if (!buffer.isStaged(first)) return;
    const list = buffer.listOf(first);
    const driveIndex = Math.floor(list / this.streams);
    const stream = list - driveIndex * this.streams;
    const drive = array.drive(driveIndex);
    for (let slot = first; slot !== none; slot = this.chain[slot]!) {
      buffer.leave(slot);
      const token = array.tokenOf(TokenKind.program, slot);
      drive.write(array.localOf(buffer.unitOf(slot)), 1, stream, token);
    }
    this.issuedRows++;
    this.onIssued();
    this.kickNext();
  }

  /** The firmware can take another row: the next list in turn that has one. */
  private kickNext(): void {
    const lists = this.buffer.listCount;
    for (let i = 0; i < lists; i++) {
      if (this.stagedRows - this.issuedRows >= stagedLimit) return;
      this.turn = this.turn + 1 < lists ? this.turn + 1 : 0;
      this.kick(this.turn);
    }
  }
}
