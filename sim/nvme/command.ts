/** Address of a segment whose bytes are thrown away (SGL bit bucket): no memory is behind it. */
export const bitBucketAddress = -1;

/** Role of a command in a fused operation; the codes of the FUSE field. */
export const FuseRole = {
  none: 0,
  first: 1,
  second: 2,
} as const;

/**
 * Where the bytes of one transfer lie, in ascending data order. Pooled with its command; it grows
 * to the longest list the command has carried and stays so large.
 */
export class SegmentList {
  count = 0;
  /** Sum of all lengths, bit buckets included. */
  totalBytes = 0;
  addresses = new Float64Array(8);
  lengths = new Float64Array(8);
  /** Piece that the last `seek` found, and the data offset of its first byte. */
  cursor = 0;
  cursorStart = 0;

  clear(): void {
    this.count = 0;
    this.totalBytes = 0;
    this.cursor = 0;
    this.cursorStart = 0;
  }

  /** Put the cursor on the piece that holds the byte at `dataOffset`; fast when going forward. */
  seek(dataOffset: number): void {
    if (dataOffset < this.cursorStart) {
      this.cursor = 0;
      this.cursorStart = 0;
    }
    while (this.cursorStart + this.lengths[this.cursor]! <= dataOffset) {
      this.cursorStart += this.lengths[this.cursor]!;
      this.cursor++;
    }
  }

  /** Add a piece; one that continues the piece before it makes that one longer. */
  add(address: number, length: number): void {
    const i = this.count;
    this.totalBytes += length;
    if (i > 0 && address > 0 && this.addresses[i - 1]! + this.lengths[i - 1]! === address) {
      if (this.addresses[i - 1]! !== bitBucketAddress) {
        this.lengths[i - 1]! += length;
        return;
      }
    }
    if (i === this.addresses.length) this.grow();
    this.addresses[i] = address;
    this.lengths[i] = length;
    this.count = i + 1;
  }

  private grow(): void {
    const addresses = new Float64Array(2 * this.addresses.length);
    const lengths = new Float64Array(2 * this.lengths.length);
    addresses.set(this.addresses);
    lengths.set(this.lengths);
    this.addresses = addresses;
    this.lengths = lengths;
  }
}

/**
 * One command inside the controller, from fetch to completion entry. Pooled: it belongs to its
 * executor from `begin` until `complete`, `cancel` or `abandon`, and nobody keeps it longer.
 *
 * Stage times are virtual nanoseconds and never decrease in the order in which they stand; a stage
 * that did not happen has the time of the stage before it.
 */
export class Command {
  /** Place in the pool, for tables of an executor that run parallel to it. */
  readonly slot: number;
  /** The submission queue entry as it was fetched, 16 dwords. */
  readonly words = new Uint32Array(16);
  /** Submission queue, 0 = admin. */
  queueId = 0;
  cid = 0;
  opcode = 0;
  nsid = 0;
  fuse: number = FuseRole.none;
  /** The other half of a fused pair, set on both; the second is completed after the first. */
  partner: Command | null = null;
  /** Set when an Abort command named it or its queue was deleted. */
  isAborted = false;

  status = 0;
  dw0 = 0;
  dw1 = 0;

  readonly data = new SegmentList();
  readonly metadata = new SegmentList();

  /** For the executor: where it is with this command. 0 at `begin`. */
  step = 0;
  /** For the executor: plain numbers, 0 at `begin`. */
  scratch0 = 0;
  scratch1 = 0;
  scratch2 = 0;
  scratch3 = 0;
  /** For an executor that needs more per command: kept across uses of the slot. */
  attachment: unknown = null;

  /** The doorbell write that published it reached the controller. */
  doorbellNs = 0;
  /** Its entry arrived in the controller. */
  fetchedNs = 0;
  /** The firmware has it: `begin` runs. */
  decodedNs = 0;
  /** The firmware has followed the data pointer. */
  preparedNs = 0;
  /** The card's scheduler was asked; how long others then went first. */
  heldNs = 0;
  shareNs = 0;
  /** First `delay` started (after its data arrived, for a write), last one ended. */
  mediaStartNs = 0;
  mediaEndNs = 0;
  /** The last byte of data has left for the host. */
  dataEndNs = 0;
  /** The completion entry is in the host's memory. */
  postedNs = 0;
  /** The interrupt for it was sent; 0 when none was, or a coalesced one came later. */
  interruptNs = 0;

  /** A reservation pays for it: the media serve it before what others wait for. */
  isReserved = false;
  /** Pages of the drives' maps that had to be read for it. */
  mapReads = 0;
  /** From the media model: 0, or the status that the command ends with. */
  mediaStatus = 0;
  // What the media time of the part of the command that ended last consists of, in ns.
  bufferNs = 0;
  mapNs = 0;
  queueNs = 0;
  arrayNs = 0;
  transferNs = 0;

  /** Bytes moved by DMA and not yet charged to the link; the controller's own. */
  pendingToHostBytes = 0;
  pendingFromHostBytes = 0;
  /** Bits of `CommandFault` and time that a fault plan adds; 0 without a plan. */
  fault = 0;
  faultNs = 0;
  /** Where it is in the controller: a `CommandState`; the controller's own. */
  state = 0;
  /** Next in a list of the controller. */
  next: Command | null = null;

  constructor(slot: number) {
    this.slot = slot;
  }
}
