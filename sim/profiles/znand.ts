import { samsung983zet } from './983zet.js';
import { defineProfile } from './define.js';
import { hardware } from './inside.js';
import { driveIdentity } from './nvme-drive.js';
import type { Profile } from './profile.js';

/**
 * A drive of the Z-NAND class with a faster firmware than the first of them: what the cells allow.
 */
export const znand: Profile = defineProfile(samsung983zet, {
  name: 'znand',
  summary: 'A drive of the Z-NAND class, faster firmware',
  identity: { ...driveIdentity, modelNumber: 'Profile znand', serialNumber: 'ULTZNAND000001' },
  inside: {
    stages: {
      lookup: hardware(500), // guess
    },
  },
});
