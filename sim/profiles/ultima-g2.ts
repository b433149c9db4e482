import { GiB, KiB, MiB, TiB } from '../../sdk/units.js';
import type { Profile } from './profile.js';
import { checkProfile } from './rules.js';
import { simple } from './simple.js';

/**
 * The Ultima storage card of the second generation by its product goals: 1,000,000 reads of 4 KiB
 * per second, below 100 us each. Times inside are guesses that meet the goals:
 * 72 units / 70 us = 1.03 M reads/s.
 */
export const ultimaG2: Profile = checkProfile({
  ...simple,
  name: 'ultima-g2',
  summary: '1 M IOPS of 4 KiB below 100 us, 64 queue pairs of 4096, protected write buffer',
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
    fetchNs: 300, // guess
    decodeNs: 700, // guess
    completeNs: 300, // guess
    adminNs: 50_000, // guess
    formatNsPerGiB: 20_000_000, // guess
  },
  inside: null,
  media: {
    parallelUnits: 72, // guess: see above
    readNs: 70_000, // guess: TLC page read, firmware apart
    readNextNs: 1_000, // guess: channel transfer of a page at 4 GB/s
    writeNs: 8_000, // guess: into the protected buffer
    writeNextNs: 1_000, // guess
    flushNs: 10_000, // guess: nothing to write back, the buffer survives
    flushNextNs: 0, // guess
    trimNs: 20_000, // guess
    jitterPermille: 50, // guess
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
  namespaces: [
    {
      bytes: 512 * GiB, // guess
      lbaFormat: 0,
      protectionType: 0,
      isMetadataExtended: false,
      isShared: true,
    },
  ],
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
  namespaces: [
    {
      bytes: 4 * TiB,
      lbaFormat: 0,
      protectionType: 0,
      isMetadataExtended: false,
      isShared: true,
    },
  ],
});
