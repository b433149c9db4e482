import { GiB } from '../../sdk/units.js';
import { hardware, software } from './inside.js';
import {
  driveController,
  driveFirmware,
  driveHost,
  driveIdentity,
  driveLink,
  driveThermal,
  wholeDrive,
} from './nvme-drive.js';
import type { Profile } from './profile.js';
import { checkProfile } from './rules.js';

/**
 * Intel Optane P5800X 800 GB: 3D XPoint of the second generation behind a controller of hardware,
 * but for one step, on a link of the fourth. Reads of 512 bytes, of which it does five million per
 * second, are not modelled: a unit of the medium is 4 KiB.
 */
export const p5800x: Profile = checkProfile({
  name: 'p5800x',
  summary: 'Intel Optane P5800X 800 GB: 3D XPoint, written in place, generation 4',
  identity: { ...driveIdentity, modelNumber: 'Profile p5800x', serialNumber: 'ULTP5800X00001' },
  link: {
    ...driveLink,
    generation: 4, // Lenovo-P5800X: PCIe 4.0 x4
    readTags: 10, // fitted: 6,100 MB/s of sequential writes
    propagationNs: 180, // guess: as the P4800X
  },
  host: driveHost,
  controller: driveController,
  firmware: driveFirmware,
  media: null,
  qos: null,
  cache: {
    isVolatile: false, // guess: writes are on the medium when they end
    bytes: 0,
  },
  inside: {
    cores: {
      clockMegahertz: 500, // guess
      frontCores: 1, // guess
      backCores: 1,
      slotCycles: 40, // guess
      lookupUnits: 0, // guess: all of them
      ...driveThermal,
    },
    stages: {
      fetch: hardware(50), // guess
      decode: software(325), // fitted: 1.5 million reads per second
      walk: hardware(20), // guess
      lookup: hardware(50), // guess
      cache: hardware(0), // it has none
      issue: hardware(50), // guess
      complete: hardware(100), // guess
      interrupt: hardware(50), // guess
    },
    buffer: {
      writeBytes: 0,
      readBytes: 0,
      copyNs: 0,
      drainPermille: 0,
      rowsPerDie: 1,
      reservedPermille: 0,
    },
    drives: 1,
    stripeBytes: 4096, // guess
    flash: null,
    ftl: null,
    inPlace: {
      channels: 8, // guess
      diesPerChannel: 4, // guess: 32 dies of 32 GiB
      bytesPerDie: 32 * GiB, // guess: 256 Gbit, second generation
      stripeDies: 4, // fitted: four dies on four channels hold one unit
      readNs: 1_000, // guess: the medium of the P4800X
      writeNs: 3_000, // guess: as the P4800X
      commandNs: 50, // guess
      channelMBPerS: 960, // guess: more than the link carries
      spreadPermille: 600, // guess: as the P4800X
      busyReadsPpm: 15, // guess: as the P4800X
      busyNs: 28_000, // guess: as the P4800X
      enduranceWrites: 500_000, // guess: 100 a day for 5 years (Lenovo-P5800X) are 182,500
      wearMoveWrites: 100, // guess
    },
  },
  ...wholeDrive(800_000_000_000),
});
