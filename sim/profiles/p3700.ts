import { KiB, MiB } from '../../sdk/units.js';
import { hardware, software } from './inside.js';
import {
  driveController,
  driveFirmware,
  driveFlash,
  driveFtl,
  driveHost,
  driveIdentity,
  driveLink,
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
  link: driveLink,
  host: driveHost,
  controller: driveController,
  firmware: driveFirmware,
  media: null,
  qos: null,
  cache: {
    isVolatile: false, // data sheet: power-loss protection
    bytes: 0,
  },
  inside: {
    cores: {
      clockMegahertz: 500, // guess
      frontCores: 1, // fitted: the median moves by 15 us from depth 1 to 16
      backCores: 2, // guess
      slotCycles: 100, // guess
      ...driveThermal,
    },
    stages: {
      fetch: software(300), // guess
      decode: software(1_200), // fitted: as frontCores
      walk: software(100), // guess
      lookup: hardware(50), // fitted: what the median at depth 1 leaves
      cache: software(200), // guess
      issue: hardware(500), // guess
      complete: software(1_200), // fitted: as frontCores
      interrupt: software(200), // guess
    },
    buffer: {
      writeBytes: 32 * MiB, // guess
      readBytes: 0, // guess: none
      copyNs: 1_000, // guess
      drainPermille: 250, // guess
      rowsPerDie: 2, // guess
    },
    drives: 1,
    stripeBytes: 4 * KiB,
    flash: {
      ...driveFlash,
      channels: 18, // reviews of the controller: 18 channels
      diesPerPackage: 4, // 72 dies of 128 Gbit: 1.1 TiB of flash
      planesPerDie: 2, // data sheets of the flash
      blocksPerPlane: 960, // so that 800 GB and their reserve fit
      pagesPerBlock: 512, // guess
      pageBytes: 16 * KiB, // data sheets of the flash
      pageTypes: [
        { readNs: 44_900, programNs: 600_000 }, // fitted; program guess
        { readNs: 62_900, programNs: 1_800_000 }, // fitted; program guess
      ],
      readSpreadPermille: 145, // fitted: from the median to p99 at depth 1
      busMegatransfers: 400, // guess: ONFI 3 of its time
      hasIndependentReads: true, // fitted: collisions at depth 16
    },
    ftl: {
      ...driveFtl,
      scanEveryNs: 290_000_000, // fitted: p99.999 at depth 1
      scanPages: 30, // fitted: as scanEveryNs
      overProvisioningPermille: 250, // data sheet: endurance of 10 drive writes per day needs much
    },
    inPlace: null,
  },
  ...wholeDrive(800_000_000_000),
});
