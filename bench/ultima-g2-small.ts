import { MiB } from '../sdk/units.js';
import { defineProfile, findProfile } from '../sim/profiles/index.js';
import type { Profile } from '../sim/profiles/profile.js';

export const blockPages = 16;
export const blocks = 48;

/**
 * The card with all of its channels, dies and planes, but with few and small blocks, so that they
 * can be overwritten in a minute. The collector has the same work for each write of the host: the
 * part of the closed blocks that is valid when the drives are full is that of the whole card, and
 * an erase takes the same part of the time that it takes to write a block.
 */
export function smallBlocks(): Profile {
  const whole = findProfile('ultima-g2');
  const { inside } = whole;
  if (inside === null || inside.flash === null || inside.ftl === null) throw new Error('no flash');
  const { flash, ftl } = inside;
  const open = (streams: number): number => ftl.gcFreeBlocks + streams + 2;
  const closedValid =
    (1 - ftl.overProvisioningPermille / 1000) /
    (1 - open(ftl.streams) / (flash.blocksPerPlane - ftl.spareBlocks));
  const hiddenPermille = Math.ceil(1000 * (1 - closedValid * (1 - open(1) / blocks)));
  const dieBytes = blocks * blockPages * flash.pageBytes * flash.planesPerDie;
  const allBytes = inside.drives * flash.channels * flash.diesPerPackage * dieBytes;
  // Whole stripes of every drive, and a little less than they have.
  const shown = Math.floor((allBytes * (1000 - hiddenPermille)) / 1000 / MiB);
  const capacityBytes = (shown - inside.drives) * MiB;
  return defineProfile(whole, {
    inside: {
      flash: {
        pagesPerBlock: blockPages,
        blocksPerPlane: blocks,
        eraseNs: Math.round((flash.eraseNs * blockPages) / flash.pagesPerBlock),
      },
      ftl: { streams: 1, spareBlocks: 0, overProvisioningPermille: hiddenPermille },
    },
    subsystem: { capacityBytes },
    namespaces: [{ ...whole.namespaces[0]!, bytes: capacityBytes }],
  });
}
