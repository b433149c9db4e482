import { GiB } from '../../sdk/units.js';
import { hardware } from './inside.js';
import { driveFrame, driveIdentity, driveLink, driveThermal, wholeDrive } from './nvme-drive.js';
import type { Profile } from './profile.js';
import { checkProfile } from './rules.js';

/**
 * Intel Optane P4800X 375 GB: 3D XPoint behind a controller that is all hardware. Its sequential
 * read rate, 2,400 MB/s, is also what bounds random reads: a bandwidth, not parallel media.
 */
export const p4800x: Profile = checkProfile({
  name: 'p4800x',
  summary: 'Intel Optane P4800X 375 GB: 3D XPoint, written in place',
  identity: { ...driveIdentity, modelNumber: 'Profile p4800x', serialNumber: 'ULTP4800X00001' },
  ...driveFrame,
  link: {
    ...driveLink,
    readTags: 2, // fitted: 2,000 MB/s of sequential writes
    propagationNs: 180, // fitted: as readTags
  },
  cache: {
    isVolatile: false, // guess: writes are on the medium when they end
    bytes: 0,
  },
  inside: {
    cores: {
      clockMegahertz: 500, // guess
      frontCores: 1, // no stage needs one
      backCores: 1,
      slotCycles: 40, // guess
      lookupUnits: 0, // guess: all of them
      ...driveThermal,
    },
    stages: {
      fetch: hardware(50), // guess
      decode: hardware(100), // guess
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
      channels: 7, // guess: as teardowns are remembered
      diesPerChannel: 4, // guess: 28 dies of 16 GiB
      bytesPerDie: 16 * GiB, // AnandTech-11930 p.1: 128 Gbit
      stripeDies: 4, // fitted: four dies on four channels hold one unit
      readNs: 1_042, // fitted: 8.9 us at depth 1
      writeNs: 3_000, // fitted: random writes and 70/30 of the data sheet
      commandNs: 50, // guess
      channelMBPerS: 360, // fitted: 584,800 reads per second at depth 16
      spreadPermille: 600, // fitted: p99 at depth 1
      busyReadsPpm: 15, // fitted: p99.999 of 37 us at depth 1
      busyNs: 28_000, // fitted
      enduranceWrites: 200_000, // guess: 30 a day for 5 years (AnandTech-11930) are 55,000
      wearMoveWrites: 100, // guess
    },
  },
  ...wholeDrive(375_000_000_000),
});
