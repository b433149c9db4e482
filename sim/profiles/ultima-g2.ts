import { GiB, KiB, MiB, TiB } from '../../sdk/units.js';
import { hardware, software } from './inside.js';
import { driveFlash, driveFtl, driveThermal } from './nvme-drive.js';
import type { Profile } from './profile.js';
import { checkProfile } from './rules.js';
import { simple } from './simple.js';

const oneNamespace = (bytes: number) => [
  {
    bytes,
    lbaFormat: 0,
    protectionType: 0,
    isMetadataExtended: false,
    isShared: true,
  },
];

/**
 * The Ultima storage card of the second generation by its product goals: 1,000,000 commands of
 * 4 KiB per second, below 100 us each at that load, eight SSDs behind it. The front end is mostly
 * hardware; what is behind it is of the class of fast MLC drives. `bench/ultima-g2` measures the
 * goals.
 */
export const ultimaG2: Profile = checkProfile({
  ...simple,
  name: 'ultima-g2',
  summary: '1 M IOPS of 4 KiB below 100 us, 64 queue pairs of 4096, eight SSDs, protected buffer',
  identity: {
    ...simple.identity,
    deviceId: 0x0002, // guess
    subsystemId: 0x0002, // guess
    serialNumber: 'ULTG200000001',
    modelNumber: 'Ultima G2 Storage Card',
    firmwareRevision: '2.0.0',
  },
  link: {
    ...simple.link,
    generation: 4, // guess: 1 M x 4 KiB/s = 4.1 GB/s needs more than generation 3 x4
    lanes: 8, // guess
    completionBytes: 64, // PCIe-4.0 §7.5.3.7: the smaller Read Completion Boundary
    ackBytes: 8, // guess: an Ack and an UpdateFC of 8 bytes each for every second packet
    postedCreditBytes: 16 * KiB, // guess
    creditReturnNs: 700, // guess: there, into memory, and back
    readTags: 256, // PCIe-4.0 §7.5.3.4: extended tags
    reservedReadTags: 240, // guess: 8 KiB in 600 ns are more than completions of 64 bytes carry
    propagationNs: 250, // guess
  },
  host: {
    submitNs: 100, // guess: a polled driver in JavaScript
    storeNs: 50, // guess: one posted write of 4 bytes through the root complex
    completeNs: 150, // guess
    interruptNs: 2_000, // guess
  },
  firmware: {
    ...simple.firmware,
    readyNs: 200_000_000, // guess
    bootNs: 1_000_000_000, // guess
    fetchNs: 0, // all of it is in the stages
    decodeNs: 0,
    completeNs: 0,
    adminNs: 50_000, // guess
    formatNsPerGiB: 20_000_000, // guess
  },
  media: null,
  inside: {
    cores: {
      clockMegahertz: 1_000, // guess
      frontCores: 2, // guess
      backCores: 4, // guess
      slotCycles: 800, // guess: 1.25 million commands or 4 KiB units per second
      lookupUnits: 8, // guess
      ...driveThermal,
    },
    stages: {
      fetch: hardware(200), // guess
      decode: hardware(300), // guess
      walk: hardware(50), // guess
      lookup: hardware(300), // guess
      cache: software(300), // guess
      issue: hardware(500), // guess
      complete: hardware(200), // guess
      interrupt: software(200), // guess
    },
    buffer: {
      writeBytes: 256 * MiB, // guess
      readBytes: 0, // guess: none
      copyNs: 500, // guess
      drainPermille: 125, // guess
      rowsPerDie: 2, // guess
      reservedPermille: 250, // guess
    },
    drives: 8, // the card's specification
    stripeBytes: 16 * KiB, // guess
    flash: {
      ...driveFlash,
      channels: 8, // guess
      diesPerPackage: 8, // guess: dies of 9 GiB with their reserve
      planesPerDie: 2, // guess
      blocksPerPlane: 580, // so that 4 TiB and their reserve fit
      pagesPerBlock: 512, // guess
      pageBytes: 16 * KiB, // guess
      pageTypes: [
        { readNs: 29_760, programNs: 400_000 }, // NVMeVirt: 970 Pro, LSB; program guess
        { readNs: 41_760, programNs: 800_000 }, // NVMeVirt: 970 Pro, MSB; program guess
      ],
      readSpreadPermille: 30, // guess
      busMegatransfers: 800, // guess
      busPieceBytes: 4 * KiB, // guess: reads of the host do not wait for the data of programs
      hasIndependentReads: true, // guess
      suspendLimit: 64, // guess
      reservedSuspends: 56, // guess: others have as many as on other drives
      readStops: 8, // guess
    },
    ftl: {
      ...driveFtl,
      overProvisioningPermille: 110, // guess
      streams: 4, // guess
    },
    inPlace: null,
  },
  qos: {
    capacityUnits: 900_000, // the card's specification: 1 M IOPS, less a tenth of headroom
    depthUnits: 256, // guess: below what the dies of eight drives read at one time
    quietDepthUnits: 512, // guess: what they read at one time
    fetchBurst: 2, // guess: few enough for 64 queues to have their turns soon
    scheduleNs: 200, // guess
    writeCostPermille: 1_000, // guess: writes end in the protected buffer
    discardCostPermille: 1_000, // guess
    copyWeightPermille: 8_000, // guess: as eight best-effort volumes
    copyUnits: 1_800_000, // guess: the read and the write of a copy for each write it promises
  },
  cache: {
    isVolatile: false, // the card's specification: power-loss protection
    bytes: 256 * MiB, // guess
  },
  subsystem: {
    ...simple.subsystem,
    maxNamespaces: 1024, // the card's specification: many volumes
    capacityBytes: 4 * TiB, // guess
    allocationBytes: 1 * MiB, // guess
    atomicBlocks: 8, // guess
    atomicPowerFailBlocks: 8, // guess
  },
  lbaFormats: [
    { dataBytes: 4096, metadataBytes: 0, relativePerformance: 0 }, // guess
    { dataBytes: 512, metadataBytes: 0, relativePerformance: 2 }, // guess
    { dataBytes: 4096, metadataBytes: 8, relativePerformance: 0 }, // guess
    { dataBytes: 512, metadataBytes: 8, relativePerformance: 2 }, // guess
  ],
  namespaces: oneNamespace(512 * GiB), // guess
  controller: {
    ...simple.controller,
    maxTransferBytes: 512 * KiB, // guess
    asyncEventLimit: 8, // guess
    memoryBufferBytes: 0, // guess
  },
});

/** The same card with one namespace of 4 TiB: costs memory only for what is written. */
export const ultimaG2Large: Profile = checkProfile({
  ...ultimaG2,
  name: 'ultima-g2-4t',
  summary: 'ultima-g2 with one namespace of 4 TiB',
  namespaces: oneNamespace(4 * TiB), // guess
});
