/** Why a drive copies data that nobody asked for, or reads it. */
export const CopyKind = { collection: 0, upkeep: 1 } as const;
export const copyKinds = 2;

/**
 * Who says when a drive may copy: the card, which has other work for the same dies. A pool has one
 * page on its way at a time, and says how much it needs it:
 *
 *   0 .. 1   the less the host can still write before the pool is out of free blocks, the more
 *   urgent   the host waits for the pool already: it is never refused, and pays all the same
 */
export interface CopyGate {
  /** Nobody is asked, and nothing is counted. */
  readonly isOpen: boolean;
  /**
   * A pool wants to copy a page.
   *
   * @param pool   that has no other page on its way; it may wait already, and be in a hurry now
   * @param kind   a `CopyKind`
   * @param units  valid ones of the page, at least 1
   * @returns      whether it may now; else `CopyingDrive.copyGranted` is called, never from here
   */
  asks(pool: number, kind: number, units: number, need: number, isUrgent: boolean): boolean;
  /** The patrol wants to read a page of so many units: as `asks` for upkeep, never urgent. */
  asksToRead(pool: number, units: number): boolean;
  /** Upkeep pays for units of the map. Requests wait for them: they go at once. */
  paysRead(units: number): void;
  paysWrite(units: number): void;
  /** Nothing is on its way for the pool any more, and nothing is to wait. */
  ended(pool: number): void;
}

/** For a drive that has its dies for itself. */
export const openGate: CopyGate = {
  isOpen: true,
  asks: () => true,
  asksToRead: () => true,
  paysRead: () => {},
  paysWrite: () => {},
  ended: () => {},
};

/** A drive that copies by itself. */
export interface CopyingDrive {
  /** Pools 0..copyPools - 1 ask to copy. */
  readonly copyPools: number;
  /** The next one, number `copyPools`, asks to read the medium through. */
  readonly hasPatrol: boolean;
  /** Who is asked from now on. */
  setCopyGate(gate: CopyGate): void;
  /** What a pool asked for may go on now. */
  copyGranted(pool: number): void;
}
