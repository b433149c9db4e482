import { KiB, MiB } from '../../sdk/units.js';
import { hardware, software } from './inside.js';
import {
  driveBuffer,
  driveCores,
  driveFlash,
  driveFrame,
  driveFtl,
  driveIdentity,
  driveLink,
  wholeDrive,
} from './nvme-drive.js';
import type { Profile } from './profile.js';
import { checkProfile } from './rules.js';

/**
 * Micron 9100 MAX 2.4 TB: MLC of 16 nm with a large reserve.
 */
export const micron9100: Profile = checkProfile({
  name: '9100max',
  summary: 'Micron 9100 MAX 2.4 TB: 16 nm MLC, power-loss protection',
  identity: { ...driveIdentity, modelNumber: 'Profile 9100max', serialNumber: 'ULT9100MAX0001' },
  ...driveFrame,
  link: {
    ...driveLink,
    maxPayloadBytes: 128, // guess: the commonest size that a root port agrees to
  },
  cache: {
    isVolatile: false, // Toms-9100 p.2: capacitors
    bytes: 0,
  },
  inside: {
    cores: driveCores,
    stages: {
      fetch: software(300), // guess
      decode: software(450), // fitted: 750,000 reads per second
      walk: software(100), // guess
      lookup: hardware(1_000), // guess
      cache: software(200), // guess
      issue: hardware(500), // guess
      complete: software(300), // guess
      interrupt: software(200), // guess
    },
    buffer: {
      ...driveBuffer,
      writeBytes: 64 * MiB, // guess
      copyNs: 1_000, // guess
    },
    drives: 1,
    stripeBytes: 4 * KiB, // guess
    flash: {
      ...driveFlash,
      channels: 16, // guess
      diesPerPackage: 16, // Toms-9100 p.4: dies of 128 Gbit; 256 of them are 4 TiB
      planesPerDie: 2, // guess
      blocksPerPlane: 1_024, // so that 2.4 TB and their reserve fit
      pagesPerBlock: 512, // guess
      pageBytes: 16 * KiB, // guess
      pageTypes: [
        { readNs: 82_000, programNs: 700_000 }, // fitted; program guess
        { readNs: 90_000, programNs: 1_900_000 }, // fitted; program guess
      ],
      readSpreadPermille: 20, // fitted
      busMegatransfers: 400, // guess
    },
    ftl: {
      ...driveFtl,
      scanEveryNs: 90_000_000, // guess
      scanPages: 4, // fitted: p99.999 at depth 1
      overProvisioningPermille: 400, // Toms-9100 p.8: 40 % spare area
    },
    inPlace: null,
  },
  ...wholeDrive(2_400_000_000_000),
});
