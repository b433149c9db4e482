/** The flash translation layer as plain data. `ftl-rules.ts` has the possible values. */
export interface FtlProfile {
  /**
   * Part of the physical capacity, spare blocks apart, that the host does not see, in permille
   * (70 is MQSim's 7 %). Not the part of the user capacity.
   */
  readonly overProvisioningPermille: number;
  /** Host write streams, each with a block of its own open per pool: temperatures or handles. */
  readonly streams: number;
  /**
   * Relocated data of all streams has an open block of its own; otherwise each stays with its
   * stream.
   */
  readonly separatesRelocated: boolean;
  /** Data that is overwritten soon goes to stream 1 on its own, when the host names no stream. */
  readonly detectsHotData: boolean;

  /** RAM for the map in bytes, 4 KiB per 1024 units; 0 is room for all of it. */
  readonly mapCacheBytes: number;

  /** 'greedy', 'cost-benefit', 'fifo', 'd-choices' or 'random'. */
  readonly victim: string;
  /** Candidates of 'd-choices'. */
  readonly victimChoices: number;
  /**
   * Free blocks of a pool at or below which garbage is collected in the background, when the die
   * has nothing else to do; at least `gcFreeBlocks`.
   */
  readonly gcIdleFreeBlocks: number;
  /**
   * Free blocks of a pool that no host write may take; to get above, it waits for the collection.
   */
  readonly gcFreeBlocks: number;
  /** Host operations overtake those of garbage collection. */
  readonly isGcPreemptible: boolean;

  /** The least worn free block is opened first. */
  readonly hasDynamicWearLevelling: boolean;
  /** Erase counts may lie so far apart before cold data is moved; 0 is never. */
  readonly staticWearGap: number;
  /** Blocks of a pool that wait to replace bad ones. */
  readonly spareBlocks: number;

  /** Reads of a block after which it is written again; 0 is never. */
  readonly refreshReads: number;
  /** Days after which a block is written again; 0 is never. */
  readonly refreshDays: number;
  /** A read that needs so many retries has its block written again; 0 is never. */
  readonly refreshRetries: number;

  /**
   * While the host is at work the drive reads its medium through, looking for pages that get bad:
   * so many pages of a block on end each time, which nothing overtakes. 0 ns is never.
   */
  readonly scanEveryNs: number;
  readonly scanPages: number;
}
