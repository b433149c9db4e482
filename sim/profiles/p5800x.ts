import { GiB } from '../../sdk/units.js';
import { defineProfile } from './define.js';
import { software } from './inside.js';
import { wholeDrive } from './nvme-drive.js';
import { p4800x } from './p4800x.js';
import type { Profile } from './profile.js';

/**
 * Intel Optane P5800X 800 GB: 3D XPoint of the second generation behind a controller of hardware,
 * but for one step, on a link of the fourth. Reads of 512 bytes, of which it does five million per
 * second, are not modelled: a unit of the medium is 4 KiB. The rest is a guess: as the P4800X.
 */
export const p5800x: Profile = defineProfile(p4800x, {
  name: 'p5800x',
  summary: 'Intel Optane P5800X 800 GB: 3D XPoint, written in place, generation 4',
  identity: { modelNumber: 'Profile p5800x', serialNumber: 'ULTP5800X00001' },
  link: {
    generation: 4, // Lenovo-P5800X: PCIe 4.0 x4
    readTags: 10, // fitted: 6,100 MB/s of sequential writes
  },
  inside: {
    stages: {
      decode: software(325), // fitted: 1.5 million reads per second
    },
    inPlace: {
      channels: 8, // guess
      diesPerChannel: 4, // guess: 32 dies of 32 GiB
      bytesPerDie: 32 * GiB, // guess: 256 Gbit, second generation
      readNs: 1_000, // guess: the medium of the P4800X
      channelMBPerS: 960, // guess: more than the link carries
      enduranceWrites: 500_000, // guess: 100 a day for 5 years (Lenovo-P5800X) are 182,500
    },
  },
  ...wholeDrive(800_000_000_000),
});
