import type { FlashProfile } from './flash-profile.js';

/** Fixed phases of a data interface, ns, by ONFI's names in the comments. */
export interface BusPhases {
  /** Chip enable set-up: tCS. */
  readonly selectNs: number;
  /** One command or address cycle: tWC. */
  readonly cycleNs: number;
  /** Last cycle until the die is busy: tWB. */
  readonly busyNs: number;
  /** Ready until the first data: tRR. */
  readonly readyNs: number;
  /** Address until data in: tADL. */
  readonly addressDataNs: number;
  /** Write postamble and its hold: tWPST, tWPSTH. */
  readonly postambleNs: number;
  readonly postambleHoldNs: number;
  /** Read preamble and DQS output: tRPRE, tDQSRE. */
  readonly preambleNs: number;
  readonly strobeNs: number;
  /** Busy between the planes of one operation: tDBSY. */
  readonly planeBusyNs: number;
}

/** MQSim's NV-DDR2 constants (ONFI_Channel_NVDDR2). */
export const nvDdr2: BusPhases = {
  selectNs: 20,
  cycleNs: 25,
  busyNs: 100,
  readyNs: 20,
  addressDataNs: 70,
  postambleNs: 6,
  postambleHoldNs: 15,
  preambleNs: 15,
  strobeNs: 15,
  planeBusyNs: 500,
};

/**
 * NV-DDR3 keeps NV-DDR2's command phases; the strobes have longer preambles for on-die termination.
 */
export const nvDdr3: BusPhases = {
  ...nvDdr2,
  addressDataNs: 150, // guess: tADL of fast timing modes
  preambleNs: 30, // guess
  strobeNs: 25, // guess: tDQSRE at its maximum
};

/** Toggle mode as in its first public data sheets; the names of the phases are ONFI's here too. */
export const toggle: BusPhases = {
  ...nvDdr2,
  selectNs: 30, // guess
  addressDataNs: 300, // guess: tADL of a Toggle 2.0 die
  postambleNs: 7, // guess: 6.5 ns, rounded up
  postambleHoldNs: 25, // guess
};

export const busKinds: Readonly<Record<string, BusPhases>> = {
  'nv-ddr2': nvDdr2,
  'nv-ddr3': nvDdr3,
  toggle,
};

/** How long the command, address and set-up phases of each operation hold the bus. */
export class BusTiming {
  /** Command and five address cycles of a read. */
  readonly readCommandNs: number;
  /** Before data comes out. */
  readonly dataOutNs: number;
  private readonly programCommandNs: number;
  readonly eraseCommandNs: number;
  /** For each plane after the first of one operation. */
  readonly nextPlaneNs: number;

  constructor(flash: FlashProfile) {
    const phases = busKinds[flash.bus] ?? nvDdr2;
    const { selectNs, cycleNs, busyNs } = phases;
    // A read has 2 command and 4 address cycles beyond the first pair that MQSim folds: 6 in all,
    // an erase 3 address and 1 command cycle less.
    this.readCommandNs = selectNs + 6 * cycleNs + busyNs + phases.readyNs;
    this.dataOutNs = phases.preambleNs + phases.strobeNs;
    this.programCommandNs =
      selectNs +
      6 * cycleNs +
      phases.addressDataNs +
      phases.postambleNs +
      phases.postambleHoldNs +
      busyNs;
    this.eraseCommandNs = selectNs + 4 * cycleNs + busyNs;
    this.nextPlaneNs = phases.planeBusyNs + 6 * cycleNs;
  }

  /** Commands and addresses of a program of so many planes. */
  programNs(planes: number): number {
    return this.programCommandNs + (planes - 1) * this.nextPlaneNs;
  }
}
