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
 * Samsung 983 DCT 1.92 TB: TLC of 64 layers behind eight channels. Its latency is known beside
 * others only: that of the P4510, about ten times the P4800X's.
 */
export const samsung983dct: Profile = checkProfile({
  name: '983dct',
  summary: 'Samsung 983 DCT 1.92 TB: 64-layer TLC, power-loss protection',
  identity: {
    ...driveIdentity,
    modelNumber: 'Profile 983dct',
    serialNumber: 'ULT983DCT00001',
  },
  link: {
    ...driveLink,
    maxPayloadBytes: 128, // guess: as the P4510 is fitted
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
      decode: software(690), // guess: as the P4510
      walk: software(50), // guess
      lookup: hardware(250), // guess: as the P4510
      cache: software(150), // guess
      issue: hardware(500), // guess
      complete: software(690), // guess: as the P4510
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
      channels: 8, // KitGuru-970EVO p.18: the Phoenix controller
      diesPerPackage: 8, // guess: 64 dies of 256 Gbit, 2 TiB
      planesPerDie: 2, // guess
      blocksPerPlane: 684, // so that 1.92 TB and their reserve fit
      pagesPerBlock: 1_536, // guess: 64 layers of TLC
      pageBytes: 16 * KiB, // AnandTech-13951 p.2: 64 layers of TLC
      pagesPerProgram: 3, // guess: a word line at one time
      pageTypes: [
        { readNs: 49_500, programNs: 700_000 }, // guess: as the P4510; AnandTech-13951 p.2
        { readNs: 67_700, programNs: 700_000 }, // guess: as the P4510
        { readNs: 92_500, programNs: 700_000 }, // guess: as the P4510
      ],
      readSpreadPermille: 50, // guess
      busMegatransfers: 400, // fitted: 540,000 reads per second
      enduranceCycles: 5_000, // guess
    },
    ftl: {
      ...driveFtl,
      overProvisioningPermille: 80, // guess
    },
    inPlace: null,
  },
  ...wholeDrive(1_920_000_000_000),
});
