import type { FtlProfile } from '../ftl/ftl-profile.js';
import type { FlashProfile } from '../nand/flash-profile.js';

/**
 * MQSim's default drive: 8 channels, 64 dies, 512 GiB of MLC. Numbers without a note are those of
 * its `ssdconfig.xml` and of the parameter sets in its sources.
 */
export const mqsimFlash: FlashProfile = {
  channels: 8,
  packagesPerChannel: 4,
  diesPerPackage: 2,
  planesPerDie: 2,
  blocksPerPlane: 2048,
  pagesPerBlock: 256,
  pageBytes: 8192,
  pagesPerProgram: 1,
  pageTypes: [
    { readNs: 75_000, programNs: 750_000 },
    { readNs: 75_000, programNs: 750_000 },
  ],
  pageOrder: 'alternating',
  eraseNs: 3_800_000,
  readSpreadPermille: 0,
  bus: 'nv-ddr2',
  busMegatransfers: 333,
  busBytes: 1,
  isBusQuantised: false, // its own rounding is a defect: see bus.ts
  busPieceBytes: 0, // MQSim: a transfer has the bus until it is over
  hasMultiPlane: false, // its multi-plane commands need neighbours in line, rare at depth 1
  hasIndependentReads: false,
  hasCacheRead: false,
  hasCacheProgram: false,
  cacheBusyNs: 0,
  hasProgramSuspend: false,
  hasEraseSuspend: false,
  programSuspendNs: 100_000,
  eraseSuspendNs: 700_000,
  suspendLimit: 1,
  reservedSuspends: 0,
  readStops: 0,
  readStopNs: 0,
  // It has no errors: these are the fewest that the model takes.
  codewordBytes: 1024, // guess
  correctableBits: 72, // guess
  retryLevels: 0,
  retryGainPermille: 500, // guess
  decodeNs: 0,
  freshErrorsPerTbit: 0,
  wearErrorsPerTbit: 0,
  retentionErrorsPerTbitDay: 0,
  disturbErrorsPerTbitKiloread: 0,
  enduranceCycles: 10_000,
  factoryBadPpm: 0,
  programFailPpb: 0,
  eraseFailPpb: 0,
  wornFailPpm: 0,
};

export const mqsimFtl: FtlProfile = {
  overProvisioningPermille: 70,
  streams: 1,
  separatesRelocated: true,
  detectsHotData: false,
  mapCacheBytes: 0, // an ideal map, as in its closed form
  victim: 'd-choices', // its RGA
  victimChoices: 11, // log2 of the blocks of a plane
  gcIdleFreeBlocks: 10, // it keeps ten blocks of a plane free
  gcFreeBlocks: 10,
  isGcPreemptible: true,
  hasDynamicWearLevelling: true,
  staticWearGap: 100,
  spareBlocks: 0,
  refreshReads: 0,
  refreshDays: 0,
  refreshRetries: 0,
  scanEveryNs: 0, // it has none
  scanPages: 1,
};
