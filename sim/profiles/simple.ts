import { GiB, KiB, MiB } from '../../sdk/units.js';
import type { Profile } from './profile.js';
import { checkProfile } from './rules.js';

/**
 * Fixed, round times and every optional feature: the card for tests of behaviour. Nothing here is
 * measured; the figures are chosen to be easy to add up.
 */
export const simple: Profile = checkProfile({
  name: 'simple',
  summary: 'fixed service times, all features; for tests of behaviour and of speed',
  identity: {
    vendorId: 0x55aa, // guess: no vendor identifier is assigned yet
    deviceId: 0x0001, // guess
    subsystemVendorId: 0x55aa, // guess
    subsystemId: 0x0001, // guess
    revisionId: 1, // guess
    serialNumber: 'ULTSIM00000001',
    modelNumber: 'Ultima Simple Storage Card',
    firmwareRevision: '1.0.0',
    ieeeOui: 0x525400, // guess: locally administered
  },
  link: {
    generation: 3, // guess: what the commonest NVMe cards have
    lanes: 4, // guess
    maxPayloadBytes: 256, // guess: the commonest root port setting
    maxReadBytes: 512, // PCIe-4.0 §7.5.3.4: reset value of Max_Read_Request_Size
    completionBytes: 256, // guess: a root complex that fills its packets
    packetOverheadBytes: 24, // PCIe-4.0 §?: STP token 4 + four-dword header 16 + LCRC 4
    ackBytes: 0, // none here
    postedCreditBytes: 16 * KiB, // guess
    creditReturnNs: 0, // no limit here
    readTags: 32, // PCIe-4.0 §7.5.3.3: tags of a function without the extended field
    reservedReadTags: 0, // no reserved commands
    propagationNs: 200, // guess: root complex and retimers, one way
    completerNs: 100, // guess
  },
  host: {
    submitNs: 0, // guess: the host costs nothing here
    storeNs: 0, // guess
    completeNs: 0, // guess
    interruptNs: 1_000, // guess
  },
  controller: {
    queuePairs: 64, // the card's specification
    queueEntries: 4096, // the card's specification
    isContiguousQueuesRequired: true, // guess
    hasWeightedRoundRobin: true, // guess
    readyTimeout500Ms: 20, // guess: 10 s
    doorbellStride: 0, // NVMe-PCIe-1.0 §?: 4 bytes
    pageBytesMin: 4 * KiB, // guess
    pageBytesMax: 64 * KiB, // guess
    hasSubsystemReset: true, // guess
    maxTransferBytes: 1 * MiB, // guess
    hasSgl: true, // guess
    memoryBufferBytes: 1 * MiB, // guess
    hasDoorbellBuffer: true, // guess
    vectors: 65, // one per queue pair and one for the admin queue
    asyncEventLimit: 4, // NVMe-2.0 §? AERL: recommended minimum
    abortLimit: 4, // NVMe-2.0 §? ACL: recommended minimum
    errorLogEntries: 64, // guess
    firmwareSlots: 3, // guess
    virtualFunctions: 8, // guess
  },
  firmware: {
    readyNs: 1_000_000, // guess
    disableNs: 100_000, // guess
    shutdownNs: 1_000_000, // guess
    bootNs: 10_000_000, // guess
    fetchNs: 100, // guess
    decodeNs: 100, // guess
    completeNs: 100, // guess
    adminNs: 5_000, // guess
    formatNsPerGiB: 1_000_000, // guess
    activateNs: 5_000_000, // guess
    selfTestShortNs: 100_000_000, // guess
    selfTestExtendedNs: 1_000_000_000, // guess
  },
  inside: null,
  qos: null,
  media: {
    parallelUnits: 256, // guess: never the limit at depth 32
    readNs: 10_000, // guess
    readNextNs: 200, // guess
    writeNs: 5_000, // guess
    writeNextNs: 200, // guess
    flushNs: 20_000, // guess
    flushNextNs: 1_000, // guess
    trimNs: 5_000, // guess
    jitterPermille: 0, // fixed
  },
  cache: {
    isVolatile: true, // guess: the harder case for everything above
    bytes: 64 * MiB, // guess
  },
  subsystem: {
    maxNamespaces: 128, // guess
    capacityBytes: 64 * GiB, // guess
    allocationBytes: 1 * MiB, // guess
    hasNamespaceManagement: true, // guess
    hasReservations: true, // guess
    atomicBlocks: 32, // guess
    atomicPowerFailBlocks: 1, // guess
  },
  lbaFormats: [
    { dataBytes: 512, metadataBytes: 0, relativePerformance: 1 }, // guess
    { dataBytes: 512, metadataBytes: 8, relativePerformance: 2 }, // guess
    { dataBytes: 4096, metadataBytes: 0, relativePerformance: 0 }, // guess
    { dataBytes: 4096, metadataBytes: 8, relativePerformance: 1 }, // guess
    { dataBytes: 4096, metadataBytes: 64, relativePerformance: 1 }, // guess
  ],
  namespaces: [
    {
      bytes: 8 * GiB, // guess
      lbaFormat: 0,
      protectionType: 0,
      isMetadataExtended: false,
      isShared: true,
    },
  ],
});
