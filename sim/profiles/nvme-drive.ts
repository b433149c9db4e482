import { KiB, MiB } from '../../sdk/units.js';
import type { FtlProfile } from '../ftl/ftl-profile.js';
import type { FlashProfile } from '../nand/flash-profile.js';
import { simple } from './simple.js';

/** What the single drives among the profiles share: generation 3 x4, one port, no extras. */
export const driveIdentity = simple.identity;

export const driveLink = {
  generation: 3, // P3700, Toms-9100 p.2, AnandTech-11930 p.1: PCIe 3.0 x4
  lanes: 4, // as the generation
  maxPayloadBytes: 256, // guess: the commonest root port setting
  maxReadBytes: 512, // PCIe-4.0 §7.5.3.4: reset value of Max_Read_Request_Size
  completionBytes: 64, // PCIe-4.0 §7.5.3.7: the smaller Read Completion Boundary
  packetOverheadBytes: 24, // PCIe-4.0 §?: STP token 4 + four-dword header 16 + LCRC 4
  ackBytes: 8, // guess: an Ack and an UpdateFC of 8 bytes each for every second packet
  postedCreditBytes: 16 * KiB, // guess
  creditReturnNs: 700, // guess
  readTags: 64, // guess
  reservedReadTags: 0, // no reserved commands
  propagationNs: 200, // guess
  completerNs: 100, // guess
} as const;

/** A polled driver; what a kernel costs is the workload's own (bench/fidelity). */
export const driveHost = {
  submitNs: 50, // guess
  storeNs: 50, // guess
  completeNs: 50, // guess
  interruptNs: 1_500, // guess
} as const;

export const driveController = {
  ...simple.controller,
  queuePairs: 32, // guess
  queueEntries: 1024, // guess
  vectors: 33, // one per queue pair and one for the admin queue
  hasWeightedRoundRobin: false, // guess
  maxTransferBytes: 128 * KiB, // guess
  hasSgl: false, // guess
  memoryBufferBytes: 0, // guess
  hasDoorbellBuffer: false, // guess
  virtualFunctions: 0, // guess
} as const;

export const driveFirmware = {
  ...simple.firmware,
  readyNs: 500_000_000, // guess
  bootNs: 1_000_000_000, // guess
  fetchNs: 0, // all of it is in the stages
  decodeNs: 0,
  completeNs: 0,
  adminNs: 50_000, // guess
  formatNsPerGiB: 20_000_000, // guess
} as const;

const driveFormats = [
  { dataBytes: 512, metadataBytes: 0, relativePerformance: 1 }, // guess
  { dataBytes: 4096, metadataBytes: 0, relativePerformance: 0 }, // guess
] as const;

/** One namespace over all of a drive, in blocks of 4 KiB. */
export function wholeDrive(bytes: number) {
  const whole = Math.floor(bytes / MiB) * MiB;
  return {
    subsystem: {
      ...simple.subsystem,
      maxNamespaces: 1, // guess
      capacityBytes: whole,
      hasNamespaceManagement: false, // guess
      hasReservations: false, // guess
      atomicBlocks: 1, // guess
      atomicPowerFailBlocks: 1, // guess
    },
    lbaFormats: driveFormats,
    namespaces: [
      {
        bytes: whole,
        lbaFormat: 1,
        protectionType: 0,
        isMetadataExtended: false,
        isShared: false,
      },
    ],
  };
}

export const driveThermal = {
  lightThrottlePermille: 600, // guess
  heavyThrottlePermille: 250, // guess
  lightThrottleKelvin: 343, // guess: 70 degrees Celsius
  heavyThrottleKelvin: 353, // guess: 80 degrees Celsius
} as const;

/** What is around the inside of a drive. */
export const driveFrame = {
  link: driveLink,
  host: driveHost,
  controller: driveController,
  firmware: driveFirmware,
  media: null,
  qos: null,
  cache: {
    isVolatile: false, // guess: drives of this class have capacitors
    bytes: 0,
  },
} as const;

export const driveCores = {
  clockMegahertz: 500, // guess
  frontCores: 2, // guess
  backCores: 2, // guess
  slotCycles: 100, // guess
  lookupUnits: 0, // guess: all of them
  ...driveThermal,
} as const;

/** A write buffer without a read cache; to be completed. */
export const driveBuffer = {
  readBytes: 0, // guess: none
  drainPermille: 250, // guess
  rowsPerDie: 2, // guess
  reservedPermille: 0, // no reserved commands
} as const;

/** Flash without errors worth modelling, planes that read for themselves; to be completed. */
export const driveFlash = {
  packagesPerChannel: 1,
  pagesPerProgram: 1, // guess
  pageOrder: 'alternating', // guess
  eraseNs: 5_000_000, // guess
  bus: 'toggle', // guess
  busBytes: 1, // Toggle and ONFI: eight data lines
  isBusQuantised: false,
  busPieceBytes: 0, // guess: whole pages
  hasMultiPlane: true, // guess
  hasIndependentReads: false, // guess
  hasCacheRead: false, // guess
  hasCacheProgram: true, // guess
  cacheBusyNs: 1_000, // guess
  hasProgramSuspend: true, // guess
  hasEraseSuspend: true, // guess
  programSuspendNs: 20_000, // guess
  eraseSuspendNs: 50_000, // guess
  suspendLimit: 8, // guess
  reservedSuspends: 0, // no reserved commands
  readStops: 0, // no reserved commands
  readStopNs: 5_000, // guess: data sheets have so much for a Reset (tRST) in a read
  codewordBytes: 2048, // guess
  correctableBits: 120, // guess: about 0.7 %
  retryLevels: 8, // guess
  retryGainPermille: 400, // guess
  decodeNs: 2_000, // guess
  freshErrorsPerTbit: 100_000_000, // guess: 1e-4
  wearErrorsPerTbit: 2_000_000_000, // guess: 2e-3 at the rated endurance
  retentionErrorsPerTbitDay: 5_000_000, // guess
  disturbErrorsPerTbitKiloread: 500_000, // guess
  enduranceCycles: 10_000, // guess
  factoryBadPpm: 0, // guess
  programFailPpb: 10, // guess
  eraseFailPpb: 10, // guess
  wornFailPpm: 1_000, // guess
} as const satisfies Partial<FlashProfile>;

export const driveFtl: FtlProfile = {
  overProvisioningPermille: 70, // guess
  streams: 1, // guess
  separatesRelocated: true, // guess
  detectsHotData: false, // guess
  mapCacheBytes: 0, // guess: DRAM for the whole map
  victim: 'greedy', // guess
  victimChoices: 8, // guess; of 'd-choices' alone
  gcIdleFreeBlocks: 4, // guess
  gcFreeBlocks: 3, // guess
  isGcPreemptible: true, // guess
  hasDynamicWearLevelling: false, // guess
  staticWearGap: 0, // guess
  spareBlocks: 4, // guess
  refreshReads: 0, // guess
  refreshDays: 0, // guess
  refreshRetries: 0, // guess
  scanEveryNs: 0, // guess: none that is seen
  scanPages: 1, // of a scan alone
};
