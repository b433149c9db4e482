import { GiB, KiB, MiB } from '../../sdk/units.js';
import { hardware } from './inside.js';
import { mqsimFlash, mqsimFtl } from './mqsim-media.js';
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
 * MQSim's default drive as a whole card: flash and translation layer are in `mqsim-media.ts`. Its
 * link has neither propagation nor flow control, and its firmware costs nothing.
 */
export const mqsimDefault: Profile = checkProfile({
  name: 'mqsim-default',
  summary: "MQSim's default drive: 512 GiB of MLC, firmware without cost",
  identity: {
    ...driveIdentity,
    modelNumber: 'Profile mqsim-default',
    serialNumber: 'ULTMQSIM000001',
  },
  link: {
    ...driveLink,
    maxPayloadBytes: 128, // MQSim: 128 bytes of payload
    completionBytes: 128, // MQSim: as its payload
    packetOverheadBytes: 28, // MQSim
    ackBytes: 0, // MQSim: none
    creditReturnNs: 0, // MQSim: no flow control
    readTags: 1024, // MQSim: no limit
    reservedReadTags: 0, // MQSim has none
    propagationNs: 0, // MQSim
    completerNs: 0, // MQSim
  },
  host: { ...driveHost, submitNs: 0, storeNs: 0, completeNs: 0 }, // MQSim: a host without cost
  controller: driveController,
  firmware: driveFirmware,
  media: null,
  qos: null,
  cache: {
    isVolatile: true, // MQSim: its cache is DRAM
    bytes: 256 * MiB, // MQSim
  },
  inside: {
    cores: {
      clockMegahertz: 1000, // guess: no stage costs anything
      frontCores: 1,
      backCores: 1,
      slotCycles: 1,
      lookupUnits: 0, // guess: all of them
      ...driveThermal,
    },
    stages: {
      fetch: hardware(0), // MQSim
      decode: hardware(0),
      walk: hardware(0),
      lookup: hardware(0),
      cache: hardware(0),
      issue: hardware(0),
      complete: hardware(0),
      interrupt: hardware(0),
    },
    buffer: {
      writeBytes: 256 * MiB, // MQSim: data cache
      readBytes: 0, // guess: its cache keeps what was written
      copyNs: 0, // MQSim: DRAM timing left out
      drainPermille: 0, // guess
      rowsPerDie: 4, // guess
      reservedPermille: 0, // no reserved commands
    },
    drives: 1,
    stripeBytes: 4 * KiB, // guess
    flash: mqsimFlash,
    ftl: mqsimFtl,
    inPlace: null,
  },
  ...wholeDrive(470 * GiB),
});
