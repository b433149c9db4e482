import { KiB, MiB } from '../../sdk/units.js';
import { hardware, software } from './inside.js';
import {
  driveBuffer,
  driveCores,
  driveFlash,
  driveFrame,
  driveFtl,
  driveIdentity,
  wholeDrive,
} from './nvme-drive.js';
import type { Profile } from './profile.js';
import { checkProfile } from './rules.js';

/**
 * An enterprise drive of 3D TLC of about 2018, 8 TB, with capacitors: the class of the P4510.
 */
export const tlcEnterprise: Profile = checkProfile({
  name: 'tlc-enterprise',
  summary: 'An enterprise drive of 3D TLC, 8 TB, power-loss protection',
  identity: {
    ...driveIdentity,
    modelNumber: 'Profile tlc-enterprise',
    serialNumber: 'ULTTLCENT00001',
  },
  ...driveFrame,
  inside: {
    cores: driveCores,
    stages: {
      fetch: software(200), // guess
      decode: software(200), // guess
      walk: software(50), // guess
      lookup: hardware(2_000), // guess
      cache: software(150), // guess
      issue: hardware(500), // guess
      complete: software(200), // guess
      interrupt: software(150), // guess
    },
    buffer: {
      ...driveBuffer,
      writeBytes: 128 * MiB, // guess
      copyNs: 1_000, // guess
    },
    drives: 1,
    stripeBytes: 4 * KiB, // guess
    flash: {
      ...driveFlash,
      channels: 12, // guess
      diesPerPackage: 16, // guess: dies of 48 GiB, 384 Gbit
      planesPerDie: 4, // guess
      blocksPerPlane: 455, // so that 8 TB and their reserve fit
      pagesPerBlock: 1_536, // guess: 64 layers of TLC
      pageBytes: 16 * KiB, // guess
      pagesPerProgram: 3, // guess: a word line at one time
      pageTypes: [
        { readNs: 56_500, programNs: 1_900_000 }, // FEMU: TLC, lower page; program guess
        { readNs: 77_500, programNs: 1_900_000 }, // FEMU: TLC, middle page
        { readNs: 106_000, programNs: 1_900_000 }, // FEMU: TLC, upper page
      ],
      readSpreadPermille: 50, // guess
      busMegatransfers: 533, // guess
      enduranceCycles: 5_000, // guess
    },
    ftl: {
      ...driveFtl,
      overProvisioningPermille: 80, // guess
    },
    inPlace: null,
  },
  ...wholeDrive(8_000_000_000_000),
});
