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
 * Samsung 983 ZET 480 GB: Z-NAND, SLC with short bit lines.
 */
export const samsung983zet: Profile = checkProfile({
  name: '983zet',
  summary: 'Samsung 983 ZET 480 GB: Z-NAND, power-loss protection',
  identity: { ...driveIdentity, modelNumber: 'Profile 983zet', serialNumber: 'ULT983ZET00001' },
  ...driveFrame,
  inside: {
    cores: driveCores,
    stages: {
      fetch: software(150), // guess
      decode: software(150), // guess
      walk: software(50), // guess
      lookup: hardware(1_200), // fitted: 16 us at depth 1
      cache: software(100), // guess
      issue: hardware(250), // guess
      complete: software(150), // guess
      interrupt: software(100), // guess
    },
    buffer: {
      ...driveBuffer,
      writeBytes: 32 * MiB, // guess
      copyNs: 500, // guess
    },
    drives: 1,
    stripeBytes: 4 * KiB, // guess
    flash: {
      ...driveFlash,
      channels: 8, // guess
      diesPerPackage: 8, // AnandTech-13951 p.2: dies of 64 Gbit; their number a guess
      planesPerDie: 2, // guess
      blocksPerPlane: 2_300, // so that 480 GB and their reserve fit
      pagesPerBlock: 512, // guess
      pageBytes: 4 * KiB, // AnandTech-13951 p.2: 2 or 4 KiB
      pageTypes: [{ readNs: 3_000, programNs: 100_000 }], // AnandTech-13951 p.2
      decodeNs: 1_000, // guess
      readSpreadPermille: 50, // guess
      busMegatransfers: 1_200, // guess
      enduranceCycles: 50_000, // guess: SLC
    },
    ftl: {
      ...driveFtl,
      overProvisioningPermille: 180, // guess
    },
    inPlace: null,
  },
  ...wholeDrive(480_000_000_000),
});
