import * as assert from 'uvu/assert';
import type { FlashProfile } from '../../../sim/nand/flash-profile.js';
import { suite } from '../../support/suite.js';
import { DriveRig } from './rig.js';

const test = suite('media scan');

const oneDie: Partial<FlashProfile> = {
  channels: 1,
  packagesPerChannel: 1,
  blocksPerPlane: 16,
  pagesPerBlock: 8,
};
const scanEveryNs = 10_000_000;

/** When the last of the reads ended that were asked for at one time, the first scan being due. */
function lastEndNs(reads: number, scanPages: number): number {
  const ftl = { scanEveryNs: scanPages === 0 ? 0 : scanEveryNs, scanPages: Math.max(1, scanPages) };
  const rig = new DriveRig(oneDie, { ...ftl, overProvisioningPermille: 500 });
  rig.drive.fill();
  rig.world.advance(scanEveryNs);
  for (let i = 0; i < reads; i++) rig.drive.read(i, 1, i);
  rig.settle();
  assert.is(rig.ended.length, reads);
  return rig.ended.at(-1)!.atNs;
}

test('a read behind a part of the scan waits as behind as many reads of pages by the host', () => {
  for (const pages of [1, 4]) {
    // The scan comes with the first read, and behind it.
    assert.is(lastEndNs(2, pages), lastEndNs(2 + pages, 0), `${pages} pages`);
  }
  assert.ok(lastEndNs(2, 1) > lastEndNs(2, 0));
});

test('the drive counts the pages that its scan reads', () => {
  const rig = new DriveRig(oneDie, { scanEveryNs, scanPages: 4, overProvisioningPermille: 500 });
  rig.drive.fill();
  for (let i = 0; i < 6; i++) {
    rig.world.advance(scanEveryNs);
    rig.drive.read(0, 1, 0);
  }
  rig.settle();
  assert.is(rig.drive.statistics.scannedPages, 6 * 4);
});

test('a block that is free, or not written through, has no page to scan', () => {
  const rig = new DriveRig(oneDie, { scanEveryNs, scanPages: 4, overProvisioningPermille: 500 });
  const blocks = 16;
  for (const writes of [0, 1]) {
    for (let i = 0; i < writes; i++) rig.drive.write(i, 1, 0, 0);
    rig.drive.flush(0);
    for (let i = 0; i < blocks; i++) {
      rig.world.advance(scanEveryNs);
      rig.drive.read(0, 1, 0);
    }
    rig.settle();
    assert.is(rig.drive.statistics.scannedPages, 0);
  }
});

test('a drive whose host is at rest does not scan', () => {
  const rig = new DriveRig(oneDie, { scanEveryNs, scanPages: 4, overProvisioningPermille: 500 });
  rig.drive.fill();
  rig.world.advance(100 * scanEveryNs);
  assert.is(rig.world.eventCount, 0);
});

test('the scan comes round to every block, and what it finds hard to read is written again', () => {
  const worn = { ...oneDie, correctableBits: 12, freshErrorsPerTbit: 2e9, retryLevels: 8 };
  const refreshed = (every: number): number => {
    const ftl = { refreshRetries: 1, scanEveryNs: every, scanPages: 8 };
    const rig = new DriveRig(worn, { ...ftl, overProvisioningPermille: 500 });
    rig.drive.fill();
    for (let i = 0; i < 40; i++) {
      rig.world.advance(scanEveryNs);
      rig.drive.read(0, 1, 0);
    }
    rig.settle();
    rig.demandSound();
    return rig.drive.statistics.refreshUnits;
  };
  const perBlock = 8;
  assert.ok(refreshed(scanEveryNs) > refreshed(0) + 4 * perBlock);
});

test.run();
