import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { FileDevice } from '../../../sdk/block/file.js';
import { BlockOp, BlockRequest, BlockStatus } from '../../../sdk/block/request.js';
import { numbersOf } from '../../../sdk/block/system-device.js';
import { ErrorCode, UltimaError } from '../../../sdk/errors.js';
import { stillClock } from '../../support/crash-device.js';
import { skip, suite } from '../../support/suite.js';

const test = suite('block devices of the system');
const folder = mkdtempSync(join(tmpdir(), 'ultima-loop-'));
test.after(() => rmSync(folder, { recursive: true }));

test('a device number is two', () => {
  // From makedev of the GNU C library.
  const expected = [
    [7, 0, 1792],
    [259, 3, 66_307],
    [253, 300, 1_113_388],
    [4095, 255, 1_048_575],
    [4096, 1_048_575, 17_596_479_963_391],
    [5000, 70_000, 17_592_472_537_200],
  ];
  for (const [major, minor, rdev] of expected) assert.equal(numbersOf(rdev!), { major, minor });
});

/** A block device whose contents are a file's; null where there is none to be had. */
function loopOf(file: string): string | null {
  try {
    return execFileSync('losetup', ['-f', '--show', file], {
      encoding: 'utf8',
      stdio: 'pipe',
    }).trim();
  } catch {
    return null;
  }
}

test('a block device has its size, is written, and belongs to one at a time', async () => {
  const file = join(folder, 'loop.img');
  writeFileSync(file, '');
  truncateSync(file, 3 * 2 ** 20);
  const path = loopOf(file);
  if (path === null) return skip('no loop device can be made here');
  const options = { path, clock: stillClock };
  try {
    const device = await FileDevice.open(options);
    assert.is(device.blockCount, (3 * 2 ** 20) / 512);
    // Neither another program, such as mount, nor another part of this process.
    const error = await FileDevice.open(options).catch((reason: unknown) => reason);
    assert.ok(error instanceof UltimaError && error.code === ErrorCode.deviceBusy);
    assert.match(error.message, /^\/dev\/loop\d+ is in use, by a mount or another process/);
    const busy = new FileDevice(options);
    assert.is(busy.blockCount, device.blockCount);
    busy.close();
    write(device, 5, 0x5a);
    write(device, device.blockCount - 1, 0xa5);
    device.close();
    const bytes = readFileSync(file);
    assert.equal(
      [bytes[5 * 512 - 1], bytes[5 * 512], bytes[6 * 512 - 1], bytes.at(-1)],
      [0, 0x5a, 0x5a, 0xa5],
    );
    truncateSync(file, 4 * 2 ** 20);
    const larger = await FileDevice.open(options);
    execFileSync('losetup', ['-c', path]);
    larger.measure();
    assert.is(larger.blockCount, (4 * 2 ** 20) / 512);
    larger.close();
  } finally {
    execFileSync('losetup', ['-d', path]);
  }
});

/** One block, durable. */
function write(device: FileDevice, lba: number, fill: number): void {
  for (const op of [BlockOp.write, BlockOp.flush]) {
    const request = new BlockRequest(() => {});
    request.op = op;
    request.lba = op === BlockOp.write ? lba : 0;
    request.blockCount = op === BlockOp.write ? 1 : 0;
    const region = device.memory.allocate(512);
    region.bytes.fill(fill);
    if (op === BlockOp.write) request.addSegment(region, 0, 512);
    device.submit(request);
    device.poll();
    assert.is(request.status, BlockStatus.ok);
  }
}

test.run();
