/**
 * Flash as plain data: geometry, cell, bus, errors and wear. A group of a profile; every number has
 * its source where the profile stands. `flash-rules.ts` has the possible values.
 */
export interface FlashProfile {
  // Geometry. Dies work at one time, the dies of a channel share its bus.
  readonly channels: number;
  readonly packagesPerChannel: number;
  readonly diesPerPackage: number;
  readonly planesPerDie: number;
  /** Physical blocks of a plane, spare and factory-bad ones included. */
  readonly blocksPerPlane: number;
  /** Pages of a block, of all page types together. */
  readonly pagesPerBlock: number;
  /** User data of a page, without its spare area. */
  readonly pageBytes: number;
  /** Pages of one plane that one program operation writes: 1, or all of a word line. */
  readonly pagesPerProgram: number;

  // Cell.
  /** Page types, fastest first: one item is SLC, two MLC, three TLC, four QLC. */
  readonly pageTypes: readonly PageTypeProfile[];
  /** Which page has which type: 'alternating' or 'paired' (see page-type.ts). */
  readonly pageOrder: string;
  readonly eraseNs: number;
  /** Spread of a read time in permille of it: 0 is none. */
  readonly readSpreadPermille: number;

  // Bus.
  /** 'nv-ddr2', 'nv-ddr3' or 'toggle': the command phases of bus-timing.ts. */
  readonly bus: string;
  /** Transfers per second and data line, in millions. */
  readonly busMegatransfers: number;
  /** Width of the data bus. */
  readonly busBytes: number;
  /** Whole nanoseconds per two transfers, rounded down, as MQSim has them. Only to compare. */
  readonly isBusQuantised: boolean;

  /**
   * Data of programs goes to the dies in pieces of so many bytes, and commands and data of reads go
   * between them; 0 is as a whole, in the order of asking.
   */
  readonly busPieceBytes: number;

  // Operations of the die.
  /** Program and erase of all planes of a die at one time; reads of the same page merge. */
  readonly hasMultiPlane: boolean;
  /** Reads of different pages of different planes run at one time. */
  readonly hasIndependentReads: boolean;
  /** The next read of a die runs while the last one is on the bus. */
  readonly hasCacheRead: boolean;
  /** The data of the next program comes in while the last one runs. */
  readonly hasCacheProgram: boolean;
  /** Hand-over between page register and cache register. */
  readonly cacheBusyNs: number;
  /** A host read interrupts a running program or erase; 0 ns of suspend time is still possible. */
  readonly hasProgramSuspend: boolean;
  readonly hasEraseSuspend: boolean;
  readonly programSuspendNs: number;
  readonly eraseSuspendNs: number;
  /** Times that one program or erase can be interrupted. */
  readonly suspendLimit: number;
  /** So many of them are kept for reads of reserved commands. */
  readonly reservedSuspends: number;
  /** Times that one read of others is ended for reads of reserved commands, and begins again. */
  readonly readStops: number;
  /** What that takes: a Reset of the die in a read. */
  readonly readStopNs: number;

  // Errors. Rates are raw bit errors per 10^12 bits.
  readonly codewordBytes: number;
  /** Bits that one codeword can lose. */
  readonly correctableBits: number;
  /** Attempts after the first one, each with other reference voltages. */
  readonly retryLevels: number;
  /** What an attempt leaves of the raw errors of the attempt before, in permille. */
  readonly retryGainPermille: number;
  /** Latency of a decode that succeeds; it does not limit throughput. */
  readonly decodeNs: number;
  readonly freshErrorsPerTbit: number;
  /** Added at the rated endurance; grows with the square of the cycles. */
  readonly wearErrorsPerTbit: number;
  /** Added per day since the block was written, at rated endurance. */
  readonly retentionErrorsPerTbitDay: number;
  /** Added per thousand reads of the block. */
  readonly disturbErrorsPerTbitKiloread: number;

  // Wear.
  /** Program/erase cycles that the maker promises. */
  readonly enduranceCycles: number;
  /** Blocks that are bad when the drive leaves the factory, per million; spare ones at most. */
  readonly factoryBadPpm: number;
  /** Failures per 10^9 operations within the endurance. */
  readonly programFailPpb: number;
  readonly eraseFailPpb: number;
  /** Failures per 10^6 erases at twice the rated endurance; grows linearly beyond the rating. */
  readonly wornFailPpm: number;
}

export interface PageTypeProfile {
  readonly readNs: number;
  readonly programNs: number;
}
