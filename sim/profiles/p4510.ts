import { defineProfile } from './define.js';
import { hardware, software } from './inside.js';
import type { Profile } from './profile.js';
import { tlcEnterprise } from './tlc-enterprise.js';

/**
 * Intel P4510 8 TB: TLC of 64 layers. The reviews give its latency beside others (as that of the
 * 983 DCT, about ten times the P4800X's), a data sheet of which no copy was found again the rates
 * at depth.
 */
export const p4510: Profile = defineProfile(tlcEnterprise, {
  name: 'p4510',
  summary: 'Intel P4510 8 TB: 64-layer TLC, power-loss protection',
  identity: { modelNumber: 'Profile p4510', serialNumber: 'ULTP4510000001' },
  link: {
    maxPayloadBytes: 128, // fitted: 3,200 MB/s of sequential reads
  },
  inside: {
    stages: {
      decode: software(690), // fitted: 641,800 reads per second
      lookup: hardware(250), // fitted: 89 us at depth 1
      complete: software(690), // fitted: as decode
    },
    flash: {
      channels: 12, // cnBeta-P5500: the generation before has 12 channels
      pageTypes: [
        { readNs: 49_500, programNs: 1_560_000 }, // fitted: 89 us; program 3,000 MB/s
        { readNs: 67_700, programNs: 1_560_000 }, // fitted: in the ratio of FEMU's TLC
        { readNs: 92_500, programNs: 1_560_000 }, // fitted: as the middle page
      ],
    },
    ftl: {
      scanEveryNs: 7_000_000, // fitted: p99.99 at depth 1; all of it in two weeks
      scanPages: 3, // guess: those of a word line
    },
  },
});
