import { KiB, MiB } from '../../sdk/units.js';
import { hardware, software } from './inside.js';
import {
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
 * Samsung 970 Pro 512 GB as NVMeVirt models it: its constants are NVMeVirt's (`ssd_config.h`), ours
 * are only where its model has nothing. Its firmware delays are latencies, not shared cores.
 */
export const samsung970pro: Profile = checkProfile({
  name: '970pro',
  summary: 'Samsung 970 Pro 512 GB: MLC, constants of NVMeVirt',
  identity: { ...driveIdentity, modelNumber: 'Profile 970pro', serialNumber: 'ULT970PRO00001' },
  ...driveFrame,
  cache: {
    isVolatile: true, // a client drive without capacitors
    bytes: 64 * MiB, // guess
  },
  inside: {
    cores: {
      clockMegahertz: 1_000, // guess
      frontCores: 1, // no stage needs one
      backCores: 1,
      slotCycles: 400, // guess
      lookupUnits: 0, // guess: all of them
      ...driveThermal,
    },
    stages: {
      fetch: hardware(50), // guess
      decode: hardware(100), // guess
      walk: hardware(10), // guess
      lookup: hardware(19_500), // NVMeVirt: 21.5 us of firmware for a read, less the cache
      cache: software(2_000), // fitted: 500,000 writes per second
      issue: hardware(0), // in the look-up
      complete: hardware(100), // guess
      interrupt: hardware(50), // guess
    },
    buffer: {
      writeBytes: 32 * MiB, // guess
      readBytes: 0, // NVMeVirt: none
      copyNs: 460, // NVMeVirt: write buffer, per 4 KiB
      drainPermille: 0, // NVMeVirt: at once
      rowsPerDie: 2, // guess
      reservedPermille: 0, // no reserved commands
    },
    drives: 1,
    stripeBytes: 4 * KiB, // guess
    flash: {
      ...driveFlash,
      channels: 8, // NVMeVirt
      diesPerPackage: 2, // NVMeVirt: two LUNs of a channel
      planesPerDie: 1, // NVMeVirt
      blocksPerPlane: 2_100, // so that 512 GB and their reserve fit
      pagesPerBlock: 512, // guess
      pageBytes: 32 * KiB, // NVMeVirt: flash page
      pageTypes: [
        { readNs: 29_760, programNs: 185_000 }, // NVMeVirt, tR of 4 KiB from LSB pages
        { readNs: 41_760, programNs: 185_000 }, // NVMeVirt, from MSB pages
      ],
      readSpreadPermille: 0, // NVMeVirt
      busMegatransfers: 839, // NVMeVirt: 800 MiB/s
      decodeNs: 0, // NVMeVirt: in the firmware latency
      hasCacheProgram: false, // NVMeVirt: busy for transfer and program
      hasProgramSuspend: false, // NVMeVirt
      hasEraseSuspend: false, // NVMeVirt
    },
    ftl: {
      ...driveFtl,
      overProvisioningPermille: 70, // NVMeVirt
    },
    inPlace: null,
  },
  ...wholeDrive(512_000_000_000),
});
