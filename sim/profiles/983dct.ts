import { KiB } from '../../sdk/units.js';
import { defineProfile } from './define.js';
import { driveFtl, wholeDrive } from './nvme-drive.js';
import { p4510 } from './p4510.js';
import type { Profile } from './profile.js';

/**
 * Samsung 983 DCT 1.92 TB: TLC of 64 layers behind eight channels. Its latency is known beside
 * others only: that of the P4510, about ten times the P4800X's. The rest is a guess: as the P4510.
 */
export const samsung983dct: Profile = defineProfile(p4510, {
  name: '983dct',
  summary: 'Samsung 983 DCT 1.92 TB: 64-layer TLC, power-loss protection',
  identity: { modelNumber: 'Profile 983dct', serialNumber: 'ULT983DCT00001' },
  inside: {
    flash: {
      channels: 8, // KitGuru-970EVO p.18: the Phoenix controller
      diesPerPackage: 8, // guess: 64 dies of 256 Gbit, 2 TiB
      planesPerDie: 2, // guess
      blocksPerPlane: 684, // so that 1.92 TB and their reserve fit
      pageBytes: 16 * KiB, // AnandTech-13951 p.2: 64 layers of TLC
      pageTypes: [
        { readNs: 49_500, programNs: 700_000 }, // guess: as the P4510; AnandTech-13951 p.2
        { readNs: 67_700, programNs: 700_000 }, // guess: as the P4510
        { readNs: 92_500, programNs: 700_000 }, // guess: as the P4510
      ],
      busMegatransfers: 400, // fitted: 540,000 reads per second
    },
    ftl: {
      scanEveryNs: driveFtl.scanEveryNs,
      scanPages: driveFtl.scanPages,
    },
  },
  ...wholeDrive(1_920_000_000_000),
});
