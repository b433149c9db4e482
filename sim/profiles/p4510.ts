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
 * Intel P4510 8 TB: TLC of 64 layers. The reviews give its latency beside others (as that of the
 * 983 DCT, about ten times the P4800X's), a data sheet of which no
 * copy was found again the rates at depth.
 */
export const p4510: Profile = checkProfile({
  name: 'p4510',
  summary: 'Intel P4510 8 TB: 64-layer TLC, power-loss protection',
  identity: {
    ...driveIdentity,
    modelNumber: 'Profile p4510',
    serialNumber: 'ULTP4510000001',
  },
  link: {
    ...driveLink,
    maxPayloadBytes: 128, // fitted: 3,200 MB/s of sequential reads
  },
  host: driveHost,
  controller: driveController,
  firmware: driveFirmware,
  media: null,
  qos: null,
  cache: {
    isVolatile: false, // guess: drives of this class have capacitors
    bytes: 0,
  },
  inside: {
    cores: {
      clockMegahertz: 500, // guess
      frontCores: 2, // guess
      backCores: 2, // guess
      slotCycles: 100, // guess
      lookupUnits: 0, // guess: all of them
      ...driveThermal,
    },
    stages: {
      fetch: software(200), // guess
      decode: software(690), // fitted: 641,800 reads per second
      walk: software(50), // guess
      lookup: hardware(250), // fitted: 89 us at depth 1
      cache: software(150), // guess
      issue: hardware(500), // guess
      complete: software(690), // fitted: as decode
      interrupt: software(150), // guess
    },
    buffer: {
      writeBytes: 128 * MiB, // guess
      readBytes: 0, // guess: none
      copyNs: 1_000, // guess
      drainPermille: 250, // guess
      rowsPerDie: 2, // guess
      reservedPermille: 0, // no reserved commands
    },
    drives: 1,
    stripeBytes: 4 * KiB, // guess
    flash: {
      ...driveFlash,
      channels: 12, // cnBeta-P5500: the generation before has 12 channels
      diesPerPackage: 16, // guess: dies of 48 GiB, 384 Gbit
      planesPerDie: 4, // guess
      blocksPerPlane: 455, // so that 8 TB and their reserve fit
      pagesPerBlock: 1_536, // guess: 64 layers of TLC
      pageBytes: 16 * KiB, // guess
      pagesPerProgram: 3, // guess: a word line at one time
      pageTypes: [
        { readNs: 49_500, programNs: 1_560_000 }, // fitted: 89 us; program 3,000 MB/s
        { readNs: 67_700, programNs: 1_560_000 }, // fitted: in the ratio of FEMU's TLC
        { readNs: 92_500, programNs: 1_560_000 }, // fitted: as the middle page
      ],
      readSpreadPermille: 50, // guess
      busMegatransfers: 533, // guess
      enduranceCycles: 5_000, // guess
    },
    ftl: {
      ...driveFtl,
      scanEveryNs: 7_000_000, // fitted: p99.99 at depth 1; all of it in two weeks
      scanPages: 3, // guess: those of a word line
      overProvisioningPermille: 80, // guess
    },
    inPlace: null,
  },
  ...wholeDrive(8_000_000_000_000),
});
