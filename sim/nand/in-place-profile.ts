/**
 * A medium that is written in place, byte-addressable cells of the 3D XPoint kind: no erase, no
 * garbage, no difference of pages. A group of a profile.
 */
export interface InPlaceProfile {
  readonly channels: number;
  readonly diesPerChannel: number;
  readonly bytesPerDie: number;
  /** Dies that hold one unit of 4 KiB between them, next to each other across the channels. */
  readonly stripeDies: number;
  /** Until the first byte of a read is there, and until a write is safe. */
  readonly readNs: number;
  readonly writeNs: number;
  /** Command and address on the bus of the channel. */
  readonly commandNs: number;
  /** Bytes per microsecond on the bus of a channel. */
  readonly channelMBPerS: number;
  /** Spread of read and write times in permille: 0 is none. */
  readonly spreadPermille: number;
  /** A share of the reads meets a die that is refreshing: per million, and how long it takes. */
  readonly busyReadsPpm: number;
  readonly busyNs: number;
  /** Writes of a unit that its cells bear. */
  readonly enduranceWrites: number;
  /** Writes to the drive after which one unit moves to level the wear; 0 is never. */
  readonly wearMoveWrites: number;
}
