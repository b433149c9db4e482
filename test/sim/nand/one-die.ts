import type { FlashProfile } from '../../../sim/nand/flash-profile.js';
import { DriveRig } from '../ftl/rig.js';

/** One die; round times: read 10 us, program 100 us, erase 1 ms, 4 KiB in 10,240 ns. */
export const oneDie: Partial<FlashProfile> = {
  channels: 1,
  packagesPerChannel: 1,
  busMegatransfers: 400,
  pageTypes: [{ readNs: 10_000, programNs: 100_000 }],
  eraseNs: 1_000_000,
};

/** A drive of one die whose units 0..count - 1 lie in a row on flash. */
export function written(changes: Partial<FlashProfile>, count: number): DriveRig {
  const rig = new DriveRig({ ...oneDie, ...changes });
  rig.drive.write(0, count, 0, 0);
  rig.drive.flush(0);
  rig.settle();
  rig.ended.length = 0;
  return rig;
}

/** When requests ended, by token, counted from a time. */
export function endsOf(rig: DriveRig, startNs: number): Record<number, number> {
  return Object.fromEntries(rig.ended.map(({ token, atNs }) => [token, atNs - startNs]));
}
