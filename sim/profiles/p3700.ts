import { KiB, MiB } from '../../sdk/units.js';
import { hardware, software } from './inside.js';
import {
  driveBuffer,
  driveFlash,
  driveFrame,
  driveFtl,
  driveIdentity,
  driveThermal,
  wholeDrive,
} from './nvme-drive.js';
import type { Profile } from './profile.js';
import { checkProfile } from './rules.js';

/**
 * Intel P3700 800 GB: MLC of 20 nm behind an 18-channel controller. Two page types make the two
 * humps of its latency at depth 1 (median 76, p99 96 us).
 */
export const p3700: Profile = checkProfile({
  name: 'p3700',
  summary: 'Intel P3700 800 GB: 20 nm MLC, power-loss protection',
  identity: { ...driveIdentity, modelNumber: 'Profile p3700', serialNumber: 'ULTP3700000001' },
  ...driveFrame,
  cache: {
    isVolatile: false, // P3700: enhanced power-loss data protection
    bytes: 0,
  },
  inside: {
    cores: {
      clockMegahertz: 500, // guess
      frontCores: 2, // guess: one would end at 200,000 reads per second
      backCores: 2, // guess
      slotCycles: 100, // guess
      lookupUnits: 0, // guess: all of them
      ...driveThermal,
    },
    stages: {
      fetch: software(300), // guess
      decode: software(1_050), // fitted: 450,000 reads per second
      walk: software(100), // guess
      lookup: hardware(350), // fitted: what the median at depth 1 leaves
      cache: software(200), // guess
      issue: hardware(500), // guess
      complete: software(1_050), // fitted: as decode
      interrupt: software(200), // guess
    },
    buffer: {
      ...driveBuffer,
      writeBytes: 32 * MiB, // guess
      copyNs: 1_000, // guess
    },
    drives: 1,
    stripeBytes: 4 * KiB, // guess
    flash: {
      ...driveFlash,
      channels: 18, // Toms-P3520 p.2: the controller of the family
      diesPerPackage: 4, // guess: 72 dies of 128 Gbit, 1.1 TiB
      planesPerDie: 2, // Toms-P3520 p.2: the planar die has two planes
      blocksPerPlane: 960, // so that 800 GB and their reserve fit
      pagesPerBlock: 512, // guess
      pageBytes: 16 * KiB, // guess
      pageTypes: [
        { readNs: 38_800, programNs: 600_000 }, // fitted; program guess
        { readNs: 56_800, programNs: 1_800_000 }, // fitted; program guess
      ],
      readSpreadPermille: 145, // fitted: from the median to p99 at depth 1
      busMegatransfers: 250, // fitted: the mean at depth 16
    },
    ftl: {
      ...driveFtl,
      scanEveryNs: 290_000_000, // fitted: p99.999 at depth 1
      scanPages: 24, // fitted: as scanEveryNs
      overProvisioningPermille: 250, // guess: 10 drive writes per day (P3700) need much
    },
    inPlace: null,
  },
  ...wholeDrive(800_000_000_000),
});
